-- What the conversation was called when this member left or was removed; means nothing while they are a member.
ALTER TABLE member ADD COLUMN title_then TEXT;
