//! Does what the user wants by asking the SDK, and tells the outcome as updates.

use std::time::{SystemTime, UNIX_EPOCH};

use skein_sdk::{Client, Error, v1};

use super::intent::{Intent, Update};
use super::lang::Lang;

/// Rows of a list that are fetched; further ones are left out.
const ROWS_MAX: usize = 5_000;

/// [`Intent::Quit`], [`Intent::Load`] and [`Intent::Send`] are the loop's own.
pub(super) async fn perform(client: &Client, intent: Intent, lang: Lang) -> Result<Vec<Update>, Error> {
    let done = |text: &str| Ok(vec![Update::Notice(text.to_owned())]);
    match intent {
        Intent::Quit | Intent::Load(_) | Intent::Send { .. } => Ok(Vec::new()),
        Intent::Logout => {
            client.log_out().await?;
            Ok(vec![Update::LoggedOut])
        }
        Intent::LoadOlder { conversation, count } => {
            let view = client.history(conversation, 0, count).await?;
            let skein_sdk::TimelineView { items, has_more, position } = view;
            Ok(vec![Update::Lines { conversation, items, has_more, position }])
        }
        // Cursors and drafts come again: a failure is not worth a line.
        Intent::MarkRead { conversation, seq } => quietly(client.mark_read(conversation, seq).await),
        Intent::Typing(conversation) if client.is_online() => quietly(client.typing(conversation).await),
        Intent::Typing(_) => Ok(Vec::new()),
        Intent::Draft { conversation, text } => {
            quietly(client.change_settings(v1::ChangeSettings { conversation, draft: Some(text), ..v1::ChangeSettings::default() }).await)
        }
        Intent::Edit { conversation, target, body } => client.edit(conversation, target, body).await.map(|_| Vec::new()),
        Intent::Recall { conversation, target } => client.recall(conversation, target).await.map(|_| Vec::new()),
        Intent::React { conversation, target, emoji, on: true } => client.react(conversation, target, &emoji).await.map(|_| Vec::new()),
        Intent::React { conversation, target, emoji, on: false } => client.unreact(conversation, target, &emoji).await.map(|_| Vec::new()),
        Intent::Retry(key) => client.retry(&key).await.map(|_| Vec::new()),
        Intent::Discard(key) => client.discard(&key).await.map(|_| Vec::new()),
        Intent::Pin { conversation, on } => {
            client.change_settings(v1::ChangeSettings { conversation, pinned: Some(on), ..v1::ChangeSettings::default() }).await?;
            Ok(Vec::new())
        }
        Intent::Mute { conversation, on } => {
            client.change_settings(v1::ChangeSettings { conversation, muted: Some(on), ..v1::ChangeSettings::default() }).await?;
            Ok(Vec::new())
        }
        Intent::ShowFriends => friends(client).await,
        Intent::ShowRequests => requests(client).await,
        Intent::ShowBlocked => blocked(client).await,
        Intent::ShowRooms => Ok(vec![Update::Rooms(client.watch_rooms("").await?.rooms)]),
        Intent::ShowMembers(conversation) => members(client, conversation).await,
        Intent::ShowDevices => Ok(vec![Update::Devices(client.devices().await?)]),
        Intent::Find(search) => Ok(vec![Update::Found(client.search(search).await?.profiles)]),
        Intent::FindAndApply { search, greeting } => {
            let found = client.search(search).await?.profiles;
            match found.as_slice() {
                [] => Err(Error::refused(skein_sdk::ErrorCode::NotFound, "")),
                [one] => apply(client, one.uid, &greeting, lang).await,
                _ => Ok(vec![Update::Found(found)]),
            }
        }
        Intent::Apply { uid, greeting } => apply(client, uid, &greeting, lang).await,
        Intent::Answer { request, accept } => {
            let answered = if accept { client.accept(request).await? } else { client.decline(request).await? };
            let mut updates = requests(client).await?;
            if accept {
                updates.push(opened(client.open_direct(answered.from).await?));
            }
            Ok(updates)
        }
        Intent::OpenDirect(uid) => Ok(vec![opened(client.open_direct(uid).await?)]),
        Intent::Remark { uid, remark } => {
            let friend = client.remark(uid, &remark).await?;
            Ok(vec![Update::People(vec![(&friend).into()]), Update::Notice(lang.pick("备注已保存", "saved").to_owned())])
        }
        Intent::Unfriend(uid) => {
            client.delete_friend(uid).await?;
            friends(client).await
        }
        Intent::Block { uid, on } => {
            if on {
                client.block(uid).await?
            } else {
                client.unblock(uid).await?
            };
            blocked(client).await
        }
        Intent::CreateGroup { title, uids } => Ok(vec![opened(client.create_group(&title, &uids).await?)]),
        Intent::Invite { conversation, uids } => client.invite(conversation, &uids).await.map(|()| Vec::new()),
        Intent::Remove { conversation, uid } => client.remove_member(conversation, uid).await.map(|()| Vec::new()),
        Intent::Leave(conversation) => {
            client.leave(conversation).await?;
            Ok(vec![Update::Left(conversation)])
        }
        Intent::Title { conversation, title } => client.rename(conversation, &title).await.map(|()| Vec::new()),
        Intent::Announce { conversation, text } => {
            client.change_info(v1::ChangeInfo { conversation, announcement: Some(text), ..v1::ChangeInfo::default() }).await?;
            Ok(Vec::new())
        }
        Intent::Hush { conversation, on } => {
            client.change_info(v1::ChangeInfo { conversation, muted_all: Some(on), ..v1::ChangeInfo::default() }).await?;
            Ok(Vec::new())
        }
        Intent::Transfer { conversation, uid } => client.transfer(conversation, uid).await.map(|()| Vec::new()),
        Intent::Role { conversation, uid, role } => client.change_role(conversation, uid, role).await.map(|()| Vec::new()),
        Intent::Silence { conversation, uid, minutes } => {
            let until_ms = if minutes == 0 { 0 } else { now_ms() + minutes * 60_000 };
            client.silence(conversation, uid, until_ms).await.map(|()| Vec::new())
        }
        Intent::CreateRoom(name) => Ok(vec![opened(client.create_room(&name).await?)]),
        Intent::JoinRoom(conversation) => Ok(vec![opened(client.join_room(conversation).await?)]),
        Intent::Nick(name) => {
            client.change_profile(v1::ChangeProfile { nickname: Some(name.clone()), ..v1::ChangeProfile::default() }).await?;
            let uid = client.account().await?.map_or(0, |account| account.uid);
            Ok(vec![Update::Me { uid, nickname: name }])
        }
        Intent::Signature(text) => {
            client.change_profile(v1::ChangeProfile { signature: Some(text), ..v1::ChangeProfile::default() }).await?;
            done(lang.pick("签名已保存", "saved"))
        }
        Intent::EndDevice(session) => {
            client.end_device(session).await?;
            Ok(vec![Update::Devices(client.devices().await?)])
        }
    }
}

fn opened(conversation: v1::Conversation) -> Update {
    Update::Opened(Box::new(conversation))
}

fn quietly(outcome: Result<(), Error>) -> Result<Vec<Update>, Error> {
    if let Err(error) = outcome {
        tracing::debug!(code = error.code(), "not told to the server");
    }
    Ok(Vec::new())
}

async fn apply(client: &Client, uid: i64, greeting: &str, lang: Lang) -> Result<Vec<Update>, Error> {
    client.apply(uid, greeting).await?;
    Ok(vec![Update::Notice(lang.pick("申请已发出，等待对方接受", "asked; it is up to them now").to_owned())])
}

async fn friends(client: &Client) -> Result<Vec<Update>, Error> {
    let page = |cursor: String| async move { client.friends(&cursor).await.map(|page| (page.friends, page.cursor)) };
    Ok(vec![Update::Friends(all_pages(page).await?)])
}

async fn blocked(client: &Client) -> Result<Vec<Update>, Error> {
    let page = |cursor: String| async move { client.blocked(&cursor).await.map(|page| (page.friends, page.cursor)) };
    Ok(vec![Update::Blocked(all_pages(page).await?)])
}

/// The newest ones; what is older was looked at.
async fn requests(client: &Client) -> Result<Vec<Update>, Error> {
    Ok(vec![Update::Requests(client.requests("").await?.requests)])
}

async fn members(client: &Client, conversation: i64) -> Result<Vec<Update>, Error> {
    let page = |cursor: String| async move { client.members(conversation, &cursor).await.map(|page| (page.members, page.cursor)) };
    Ok(vec![Update::Members { conversation, members: all_pages(page).await? }])
}

/// The rows of `page` after `page`, each asked for with the cursor of the one before; [`ROWS_MAX`] are enough.
async fn all_pages<Row, Page>(mut page: impl FnMut(String) -> Page) -> Result<Vec<Row>, Error>
where
    Page: Future<Output = Result<(Vec<Row>, String), Error>>,
{
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let (rows, next) = page(cursor).await?;
        all.extend(rows);
        if next.is_empty() || all.len() >= ROWS_MAX {
            return Ok(all);
        }
        cursor = next;
    }
}

fn now_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
