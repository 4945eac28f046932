//! E-mail codes, registration, password reset.

use crate::world::{PASSWORD, World, code_of};
use skein_domain::Code;
use skein_domain::account::CodePurpose::{Register, Reset};

const MINUTE_MS: i64 = 60_000;

#[tokio::test]
async fn registering_with_the_mailed_code_lets_one_log_in() {
    let world = World::new().await;
    world.request_code(" Ann@Example.ORG ", Register).await.unwrap();
    let mail = world.mails.next().await;
    assert_eq!(mail.to, "ann@example.org");
    let uid = world.register("ann@example.org", &code_of(&mail)).await.unwrap();
    let logged_in = world.log_in("ANN@example.org", PASSWORD).await.unwrap();
    assert_eq!(logged_in.uid, uid);
    let stored = world.store.user(uid).await.unwrap().unwrap();
    assert!(stored.password_hash.starts_with("$argon2id$") && !stored.password_hash.contains(PASSWORD));
}

#[tokio::test]
async fn a_code_is_good_once_for_its_purpose_and_its_time() {
    let world = World::new().await;
    let code = world.code("ann@example.org", Register).await;
    assert_eq!(world.reset("ann@example.org", &code, "another password").await.unwrap_err().code, Code::CodeExpired, "another purpose");
    world.clock.advance(5 * MINUTE_MS + 1);
    assert_eq!(world.register("ann@example.org", &code).await.unwrap_err().code, Code::CodeExpired, "too old");
    let code = world.code("ann@example.org", Register).await;
    world.register("ann@example.org", &code).await.unwrap();
    assert_eq!(world.register("ann@example.org", &code).await.unwrap_err().code, Code::CodeExpired, "used up");
}

#[tokio::test]
async fn a_new_code_voids_the_old() {
    let world = World::new().await;
    let old = world.code("ann@example.org", Register).await;
    let mut new = world.code("ann@example.org", Register).await;
    while new == old {
        new = world.code("ann@example.org", Register).await;
    }
    assert_eq!(world.register("ann@example.org", &old).await.unwrap_err().code, Code::CodeWrong);
    world.register("ann@example.org", &new).await.unwrap();
}

#[tokio::test]
async fn checks_are_counted_across_codes() {
    let world = World::new().await;
    for _ in 0..2 {
        let code = world.code("ann@example.org", Register).await;
        for _ in 0..5 {
            assert_eq!(world.register("ann@example.org", &other_than(&code)).await.unwrap_err().code, Code::CodeWrong);
        }
    }
    let code = world.code("ann@example.org", Register).await;
    assert_eq!(world.register("ann@example.org", &code).await.unwrap_err().code, Code::CodeExhausted, "even the right one");
    world.clock.advance(61 * MINUTE_MS);
    let code = world.code("ann@example.org", Register).await;
    world.register("ann@example.org", &code).await.unwrap();
}

#[tokio::test]
async fn the_sixth_code_of_an_hour_is_refused_alike_for_known_and_unknown() {
    let world = World::new().await;
    world.user("ann").await;
    for address in ["ann@example.org", "nobody@example.org"] {
        for n in 0..5 {
            let purpose = if n % 2 == 0 { Register } else { Reset };
            world.request_code(address, purpose).await.unwrap();
        }
        assert_eq!(world.request_code(address, Reset).await.unwrap_err().code, Code::RateLimited, "{address}");
    }
}

#[tokio::test]
async fn only_the_owner_of_an_address_learns_whether_it_has_an_account() {
    let world = World::new().await;
    world.user("ann").await;
    let answers = [
        world.request_code("nobody@example.org", Reset).await,
        world.request_code("ann@example.org", Register).await,
        world.request_code("ann@example.org", Reset).await,
        world.request_code("nobody@example.org", Register).await,
    ];
    assert!(answers.iter().all(|answer| answer == &Ok(())));

    let mut mails = [world.mails.next().await, world.mails.next().await, world.mails.next().await];
    mails.sort_by(|a, b| (&a.to, &a.subject).cmp(&(&b.to, &b.subject)));
    let told: Vec<_> = mails.iter().map(|mail| (mail.to.as_str(), mail.subject.as_str())).collect();
    let expected = [
        ("ann@example.org", "You already have an account"),
        ("ann@example.org", "Your password reset code"),
        ("nobody@example.org", "Your registration code"),
    ];
    assert_eq!(told, expected);
    assert!(!mails[0].text.contains(|c: char| c.is_ascii_digit()), "no code to log in with: {}", mails[0].text);
    assert_eq!(world.mails.unread(), 0, "no mail to an address without an account");
}

#[tokio::test]
async fn a_taken_address_is_told_only_to_who_has_its_code() {
    let world = World::new().await;
    let code = world.code("ann@example.org", Register).await;
    world.user("ann").await;
    assert_eq!(world.register("ann@example.org", &other_than(&code)).await.unwrap_err().code, Code::CodeWrong);
    assert_eq!(world.register("ann@example.org", &code).await.unwrap_err().code, Code::UserExists);
}

#[tokio::test]
async fn after_a_reset_the_new_password_logs_in_and_the_old_sessions_are_gone() {
    let world = World::new().await;
    world.user("ann").await;
    let before = world.log_in("ann@example.org", PASSWORD).await.unwrap();
    let code = world.code("ann@example.org", Reset).await;
    world.reset("ann@example.org", &code, "another password").await.unwrap();
    assert_eq!(world.log_in("ann@example.org", PASSWORD).await.err().map(|e| e.code), Some(Code::BadCredentials));
    assert_eq!(world.verify(&before.token).await.unwrap_err().code, Code::Unauthorized);
    world.log_in("ann@example.org", "another password").await.unwrap();
}

#[tokio::test]
async fn without_mail_everybody_is_told_so_at_once() {
    let world = World::new().await;
    world.user("ann").await;
    world.mails.unconfigure();
    for (address, purpose) in [("ann@example.org", Reset), ("nobody@example.org", Reset), ("nobody@example.org", Register)] {
        assert_eq!(world.request_code(address, purpose).await.unwrap_err().code, Code::MailNotConfigured);
    }
}

#[tokio::test]
async fn a_full_mail_queue_is_busy_for_known_and_unknown() {
    let world = World::new().await;
    world.user("ann").await;
    world.mails.hold();
    let mut asked = 0;
    let refused = loop {
        match world.request_code(&format!("user{asked}@example.org"), Register).await {
            Ok(()) => asked += 1,
            Err(error) => break error.code,
        }
    };
    assert_eq!(refused, Code::Busy);
    assert!((256..=260).contains(&asked), "queued and under way: {asked}");
    assert_eq!(world.request_code("ann@example.org", Reset).await.unwrap_err().code, Code::Busy);
    assert_eq!(world.request_code("nobody@example.org", Reset).await.unwrap_err().code, Code::Busy);
    world.mails.release();
    for _ in 0..asked {
        world.mails.next().await;
    }
    world.request_code("ann@example.org", Reset).await.unwrap();
}

fn other_than(code: &str) -> String {
    if code == "000000" { "000001".into() } else { "000000".into() }
}
