//! Each error a stranger can meet, one by one.

use crate::world::{PASSWORD, World};
use skein_domain::Code;
use skein_domain::account::{CodePurpose, DeviceClass};
use skein_domain::command::AccountCommand;
use skein_domain::id::NodeId;

fn log_in(email: &str, password: &str) -> AccountCommand {
    AccountCommand::LogIn { email: email.into(), password: password.into(), class: DeviceClass::Cli, client: "test".into() }
}

fn register(email: &str, code: &str, password: &str, nickname: &str) -> AccountCommand {
    AccountCommand::Register { email: email.into(), code: code.into(), password: password.into(), nickname: nickname.into() }
}

#[tokio::test]
async fn each_refusal_has_its_code() {
    let world = World::new().await;
    world.node("a", 0).await;
    world.user("ann").await;
    let off = world.user("off").await;
    world.accounts.set_disabled(off, true, "test").await.unwrap();
    let token = world.log_in("ann@example.org", PASSWORD).await.unwrap().token;
    world.code("new@example.org", CodePurpose::Register).await;

    let ann = "ann@example.org";
    let new = "new@example.org";
    let table = [
        (AccountCommand::RequestCode { email: "no address".into(), purpose: CodePurpose::Reset }, Code::BadEmail),
        (register("a@b\r\nBcc: c@d", "000000", PASSWORD, "Ann"), Code::BadEmail),
        (register(new, "000000", "short", "Ann"), Code::WeakPassword),
        (register(new, "000000", new, "Ann"), Code::WeakPassword),
        (register(new, "000000", PASSWORD, "a\nb"), Code::BadNickname),
        (register(new, "not a code", PASSWORD, "Ann"), Code::CodeWrong),
        (register(new, "１２３４５６", PASSWORD, "Ann"), Code::CodeWrong),
        (register("never@example.org", "000000", PASSWORD, "Ann"), Code::CodeExpired),
        (AccountCommand::ResetPassword { email: ann.into(), code: "1".into(), password: "short".into() }, Code::WeakPassword),
        (AccountCommand::ResetPassword { email: ann.into(), code: "000000".into(), password: "long enough".into() }, Code::CodeExpired),
        (log_in("no address", PASSWORD), Code::BadEmail),
        (log_in(ann, "wrong password"), Code::BadCredentials),
        (log_in(ann, &"x".repeat(129)), Code::BadCredentials),
        (log_in("nobody@example.org", PASSWORD), Code::BadCredentials),
        (log_in("off@example.org", PASSWORD), Code::Disabled),
        (log_in("off@example.org", "wrong password"), Code::BadCredentials),
        (AccountCommand::Verify { secret: "rubbish".into() }, Code::Unauthorized),
        (AccountCommand::Verify { secret: "A".repeat(43) }, Code::Unauthorized),
        (AccountCommand::Ticket { secret: "rubbish".into(), node: None }, Code::Unauthorized),
        (AccountCommand::Ticket { secret: token, node: Some(NodeId("gone".into())) }, Code::NoServer),
    ];
    for (row, (command, code)) in table.into_iter().enumerate() {
        assert_eq!(world.account(command).await.err().map(|error| error.code), Some(code), "row {row}");
    }
}
