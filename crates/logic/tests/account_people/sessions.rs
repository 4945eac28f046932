//! Sessions: one per device class, and every way to lose one closes its connection.

use crate::world::{Closed, PASSWORD, World, config};
use skein_domain::Code;
use skein_domain::account::DeviceClass::{Cli, Desktop, Mobile, Web};
use skein_domain::account::{CodePurpose, DeviceClass, Ended};
use skein_domain::id::Generation;
use skein_logic::account::Config;
use skein_logic::account::rate::Rate;

#[tokio::test]
async fn a_newer_log_in_of_a_class_ends_the_older_and_closes_its_connection() {
    let world = World::new().await;
    world.node("a", 0).await;
    world.user("ann").await;
    for class in [Desktop, Web, Mobile] {
        let older = world.log_in_as("ann@example.org", class).await.unwrap();
        let other = world.log_in_as("ann@example.org", Cli).await.unwrap();
        world.connect(&older.token, "a", 1).await.unwrap();
        world.connect(&other.token, "a", 2).await.unwrap();

        let newer = world.log_in_as("ann@example.org", class).await.unwrap();
        let close = Closed { node: "a".into(), session: older.session.id, up_to: Generation(1), reason: Ended::LoggedInElsewhere };
        assert_eq!(world.comets.take_closed(), [close]);
        assert_eq!(world.registered("a").await, [other.session.id]);
        assert_eq!(world.verify(&older.token).await.unwrap_err().code, Code::Unauthorized);
        assert_eq!(world.connect(&older.token, "a", 3).await.unwrap_err().code, Code::Unauthorized);
        world.verify(&newer.token).await.unwrap();
        world.log_out_everywhere(&newer).await;
        world.comets.take_closed();
    }
}

#[tokio::test]
async fn ten_terminals_live_side_by_side_and_the_eleventh_ends_the_oldest() {
    let world = World::with(Config { log_ins_per_account: Rate { burst: 100, every_ms: 1 }, ..config() }).await;
    world.user("ann").await;
    let mut tokens = Vec::new();
    for _ in 0..=DeviceClass::CLI_SESSIONS_MAX {
        tokens.push(world.log_in_as("ann@example.org", Cli).await.unwrap().token);
        world.clock.advance(1);
    }
    assert_eq!(world.verify(&tokens[0]).await.unwrap_err().code, Code::Unauthorized);
    for token in &tokens[1..] {
        world.verify(token).await.unwrap();
    }
}

#[tokio::test]
async fn one_sees_ones_devices_and_ends_one_or_all_of_them() {
    let world = World::new().await;
    world.node("a", 0).await;
    world.user("ann").await;
    let desktop = world.log_in_as("ann@example.org", Desktop).await.unwrap();
    let mobile = world.log_in_as("ann@example.org", Mobile).await.unwrap();
    let web = world.log_in_as("ann@example.org", Web).await.unwrap();
    for (generation, who) in [&desktop, &mobile, &web].into_iter().enumerate() {
        world.connect(&who.token, "a", generation as i64 + 1).await.unwrap();
    }
    let caller = world.caller(&desktop);
    let mut devices: Vec<_> = world.accounts.devices(&caller).await.unwrap().into_iter().map(|session| session.class.as_str()).collect();
    devices.sort_unstable();
    assert_eq!(devices, ["desktop", "mobile", "web"]);

    world.accounts.log_out(&caller, Some(mobile.session.id)).await.unwrap();
    world.accounts.log_out(&caller, Some(mobile.session.id)).await.unwrap();
    assert_eq!(world.comets.take_reasons(), [(mobile.session.id, Ended::LoggedOut)]);
    world.accounts.log_out(&caller, None).await.unwrap();
    assert_eq!(world.comets.take_reasons(), [(desktop.session.id, Ended::LoggedOut)]);
    world.accounts.log_out_everywhere(&caller).await.unwrap();
    assert_eq!(world.comets.take_reasons(), [(web.session.id, Ended::LoggedOut)]);
    assert!(world.registered("a").await.is_empty());
    for who in [desktop, mobile, web] {
        assert_eq!(world.verify(&who.token).await.unwrap_err().code, Code::Unauthorized);
    }
}

#[tokio::test]
async fn nobody_ends_the_session_of_somebody_else() {
    let world = World::new().await;
    world.user("ann").await;
    world.user("bob").await;
    let ann = world.log_in("ann@example.org", PASSWORD).await.unwrap();
    let bob = world.log_in("bob@example.org", PASSWORD).await.unwrap();
    world.accounts.log_out(&world.caller(&bob), Some(ann.session.id)).await.unwrap();
    world.verify(&ann.token).await.unwrap();
}

#[tokio::test]
async fn a_reset_closes_every_connection() {
    let world = World::new().await;
    world.node("a", 0).await;
    world.user("ann").await;
    let ann = world.log_in("ann@example.org", PASSWORD).await.unwrap();
    world.connect(&ann.token, "a", 1).await.unwrap();
    let code = world.code("ann@example.org", CodePurpose::Reset).await;
    world.reset("ann@example.org", &code, "another password").await.unwrap();
    assert_eq!(world.comets.take_reasons(), [(ann.session.id, Ended::PasswordReset)]);
    assert!(world.registered("a").await.is_empty());
}

#[tokio::test]
async fn a_disabled_user_is_thrown_out_and_kept_out_until_enabled() {
    let world = World::new().await;
    world.node("a", 0).await;
    let uid = world.user("ann").await;
    let ann = world.log_in("ann@example.org", PASSWORD).await.unwrap();
    world.connect(&ann.token, "a", 1).await.unwrap();
    world.accounts.set_disabled(uid, true, "admin.sock").await.unwrap();
    assert_eq!(world.comets.take_reasons(), [(ann.session.id, Ended::Disabled)]);
    assert_eq!(world.verify(&ann.token).await.unwrap_err().code, Code::Unauthorized);
    assert_eq!(world.log_in("ann@example.org", PASSWORD).await.err().unwrap().code, Code::Disabled);
    world.accounts.set_disabled(uid, false, "admin.sock").await.unwrap();
    world.log_in("ann@example.org", PASSWORD).await.unwrap();
    let acts: Vec<_> = world.store.audits(10).await.unwrap().into_iter().map(|audit| (audit.actor, audit.act)).collect();
    assert_eq!(acts, [("admin.sock".to_owned(), "enable".to_owned()), ("admin.sock".to_owned(), "disable".to_owned())]);
}

#[tokio::test]
async fn a_kick_does_not_wait_for_a_comet_that_does_not_answer() {
    let world = World::new().await;
    world.node("a", 0).await;
    world.user("ann").await;
    let older = world.log_in_as("ann@example.org", Desktop).await.unwrap();
    world.connect(&older.token, "a", 1).await.unwrap();
    world.comets.hang();
    let newer = tokio::time::timeout(std::time::Duration::from_secs(4), world.log_in_as("ann@example.org", Desktop));
    newer.await.expect("answered before the fan-out gave up").unwrap();
    assert!(world.registered("a").await.is_empty(), "the next renewal tells the comet");
}

#[tokio::test]
async fn ones_own_profile_shows_the_address_and_others_do_not() {
    use skein_domain::account::ProfileChange;
    let world = World::new().await;
    let ann = world.user("ann").await;
    let bob = world.user("bob").await;
    let caller = world.caller(&world.log_in("ann@example.org", PASSWORD).await.unwrap());
    let change = ProfileChange { nickname: Some(" Annie ".into()), signature: Some("hi".into()), findable_by_email: Some(true) };
    let profile = world.accounts.change_profile(&caller, change).await.unwrap();
    assert_eq!((profile.nickname.as_str(), profile.email.as_deref()), ("Annie", Some("ann@example.org")));
    let profiles = world.accounts.get_profiles(&caller, &[ann, bob]).await.unwrap();
    let email_of = |uid| profiles.iter().find(|profile| profile.uid == uid).and_then(|profile| profile.email.as_deref());
    assert_eq!((email_of(ann), email_of(bob)), (Some("ann@example.org"), None));

    let bad = ProfileChange { nickname: Some("\n".into()), ..ProfileChange::default() };
    assert_eq!(world.accounts.change_profile(&caller, bad).await.unwrap_err().code, Code::BadNickname);
    let many = vec![bob; 201];
    assert_eq!(world.accounts.get_profiles(&caller, &many).await.unwrap_err().code, Code::BadRequest);
}
