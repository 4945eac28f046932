//! What somebody still sees over HTTP of a group that they were removed from: the past, and nothing behind it.

use crate::line::Line;
use crate::town::Town;
use serde_json::Value;
use skein_protocol::{Reply, Request, v1};

struct Owner {
    line: Line,
    group: i64,
    keys: u32,
}

impl Owner {
    async fn of_group_with(town: &Town, others: &[&str]) -> Self {
        let mut line = town.line("ann").await;
        let uids = others.iter().map(|name| town.uid(name)).collect();
        let create = v1::CreateGroup { key: "group".into(), title: "before".into(), uids };
        match line.ask(Request::CreateGroup(create)).await {
            Reply::ConversationReply(reply) => Self { line, group: reply.conversation.unwrap().id, keys: 0 },
            other => panic!("{other:?}"),
        }
    }

    async fn does(&mut self, request: impl FnOnce(i64, String) -> Request) {
        self.keys += 1;
        let reply = self.line.ask(request(self.group, format!("k{}", self.keys))).await;
        assert!(matches!(reply, Reply::Ack(_)), "{reply:?}");
    }

    async fn changes_info(&mut self, title: &str, announcement: &str) {
        let (title, announcement) = (Some(title.to_owned()), Some(announcement.to_owned()));
        self.does(|conversation, key| Request::ChangeInfo(v1::ChangeInfo { conversation, key, title, announcement, muted_all: None }))
            .await;
    }
}

fn texts(page: &Value) -> Vec<&str> {
    let messages = page["messages"].as_array().unwrap().iter();
    messages.map(|message| message["body"]["segments"][0]["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_former_member_reads_the_past_and_nothing_behind_it_over_http() {
    let town = Town::of(&["ann", "bob", "cat"]).start().await;
    let mut ann = Owner::of_group_with(&town, &["bob", "cat"]).await;
    let group = ann.group;
    ann.line.send(group, "for all").await;
    ann.changes_info("then", "read me").await;
    let removed = town.uid("cat");
    ann.does(|conversation, key| Request::RemoveMember(v1::RemoveMember { conversation, key, uid: removed })).await;
    ann.line.send(group, "without Cat").await;
    ann.changes_info("now", "a secret").await;

    let path = |rest: &str| format!("/api/v1/conversations/{group}{rest}");
    let (bob, cat) = (town.api_of("bob"), town.api_of("cat"));
    let member = bob.get(&path("")).await.ok();
    assert_eq!((member["title"].as_str(), member["announcement"].as_str()), (Some("now"), Some("a secret")), "{member}");
    assert_eq!(texts(&bob.get(&path("/history")).await.ok()), ["for all", "without Cat"]);

    let former = cat.get(&path("")).await.ok();
    assert_eq!((former["title"].as_str(), former["announcement"].as_str()), (Some("then"), Some("")), "{former}");
    assert_eq!((&former["owner"], &former["members"], &former["muted_all"]), (&Value::Null, &0.into(), &false.into()), "{former}");
    assert_eq!(former["head"], former["me"]["visible_to"], "{former}");
    let history = cat.get(&path("/history")).await.ok();
    assert_eq!(texts(&history), ["for all"]);
    let synced = cat.get("/api/v1/sync").await.ok();
    for answer in [&former, &history, &synced] {
        let text = answer.to_string();
        assert!(["without Cat", "now", "a secret"].iter().all(|later| !text.contains(&format!("\"{later}\""))), "{text}");
    }
    assert_eq!(cat.get(&path("/members")).await.code(), "not_member");
    let send = serde_json::json!({"key": "k", "text": "let me in"});
    assert_eq!(cat.post(&path("/messages"), send).await.code(), "not_member");
}
