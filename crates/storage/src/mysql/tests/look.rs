//! What is said of a server before and at the start: where it is, why it will not do, and never the password.

use super::{Database, numbers};
use crate::{Config, MySqlConfig, OpenError, Store};

fn with_url(url: &str) -> Config {
    Config { mysql: MySqlConfig { url: url.into(), ..MySqlConfig::default() }, ..Config::default() }
}

/// What looking and starting say, which is the same.
fn refusal(config: &Config) -> OpenError {
    let (looked, opened) = (Store::look_at_mysql(config).unwrap_err(), Store::open_mysql(config).err().unwrap());
    assert_eq!(looked.to_string(), opened.to_string());
    opened
}

#[test]
fn looking_makes_nothing_and_finds_a_newer_schema() {
    let database = Database::new(1);
    let config = &database.config;
    Store::look_at_mysql(config).unwrap();
    Store::look_at_replica(config).unwrap();
    let tables = format!("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{}'", database.name);
    assert_eq!(numbers(&tables), [0]);

    drop(database.store());
    Store::look_at_mysql(config).unwrap();
    super::admin(&format!("UPDATE {}.schema_step SET done = 9999", database.name));
    assert!(matches!(refusal(config), OpenError::Newer { found: 9999, .. }));
}

#[test]
fn a_wrong_password_and_a_missing_database_are_faults_of_the_setting() {
    let database = Database::new(1);
    let missing = with_url(&database.config.mysql.url.replace(&database.name, "skein_missing"));
    let said = refusal(&missing);
    assert!(matches!(said, OpenError::Refused { .. }) && said.to_string().contains("skein_missing"), "{said}");

    let (_, host) = database.config.mysql.url.rsplit_once('@').unwrap();
    let said = refusal(&with_url(&format!("mysql://nobody:s3cret@{host}")));
    let text = said.to_string();
    assert!(text.contains("storage.mysql.url (127.0.0.1:") && text.contains("Access denied") && !text.contains("s3cret"), "{text}");
    assert_eq!(said.code(), "bad_config");

    let mut config = database.config.clone();
    config.mysql.replica_url = format!("mysql://nobody:s3cret@{host}");
    let said = Store::look_at_replica(&config).unwrap_err().to_string();
    assert!(said.starts_with("storage.mysql.replica_url ("), "{said}");
}

#[test]
fn where_nobody_listens_the_setting_and_the_address_are_named() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for host in ["127.0.0.1", "[::1]"] {
        let said = refusal(&with_url(&format!("mysql://skein:s3cret@{host}:{unused}/skein"))).to_string();
        assert!(said.starts_with(&format!("storage.mysql.url ({host}:{unused}): ")) && !said.contains("s3cret"), "{said}");
        assert!(said.ends_with("is it running, and does storage.mysql.url name it?") && !said.contains("look"), "{said}");
    }
    assert!(matches!(refusal(&with_url("mysql://skein:s3cret@127.0.0.1")), OpenError::Url("storage.mysql.url")));
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = with_url(&format!("mysql://skein@{}/skein", silent.local_addr().unwrap()));
    let said = Store::look_at_mysql(&config).unwrap_err().to_string();
    assert!(said.contains("no connection within 5s"), "{said}");
}
