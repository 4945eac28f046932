//! What a member is in a conversation.

use super::words;
use skein_domain::conversation as domain;

words!(Role = domain::Role { Member, Admin, Owner });
