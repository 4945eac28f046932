//! Scripts: run by their hash, and by their text where a server does not have them yet.
//!
//! The text goes where the key is. So after a fail-over, when a replica that knows no script took over, the first call of
//! each is longer and nothing more, and no other node of a cluster has to be up.

use redis::{Cmd, ToRedisArgs};

pub(super) struct Script {
    text: &'static str,
    hash: String,
}

/// A script with its keys and arguments.
pub(super) struct Invocation {
    script: &'static Script,
    keys: Vec<Vec<u8>>,
    args: Vec<Vec<u8>>,
}

impl Script {
    pub(super) fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }

    pub(super) fn key(&'static self, key: impl ToRedisArgs) -> Invocation {
        Invocation { script: self, keys: key.to_redis_args(), args: Vec::new() }
    }
}

impl Invocation {
    pub(super) fn key(&mut self, key: impl ToRedisArgs) -> &mut Self {
        key.write_redis_args(&mut self.keys);
        self
    }

    pub(super) fn arg(&mut self, arg: impl ToRedisArgs) -> &mut Self {
        arg.write_redis_args(&mut self.args);
        self
    }

    pub(super) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", &self.script.hash)
    }

    pub(super) fn by_text(&self) -> Cmd {
        self.command("EVAL", self.script.text)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.args);
        command
    }
}
