//! What a node is asked to run.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Public HTTP: register, log in, reset, profile, contacts, history.
    Gate,
    /// Registry of live nodes and sessions, choice of Comet, connect tickets.
    Status,
    /// E-mail codes.
    Verify,
    /// Long connections: TCP and WebSocket.
    Comet,
    /// Every business command and query; the only role with SQL.
    Logic,
    /// Reads the change log and fans out.
    Job,
}

impl Role {
    pub const ALL: [Role; 6] = [Role::Gate, Role::Status, Role::Verify, Role::Comet, Role::Logic, Role::Job];
    /// These live where the store is, until each has a service of its own.
    const WITH_LOGIC: [Role; 3] = [Role::Status, Role::Verify, Role::Job];

    /// As the flag and the configuration have it.
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

impl Roles {
    pub fn all() -> Self {
        Self(Role::ALL.into())
    }

    /// `None` names all of them.
    pub fn new(roles: &[Role]) -> anyhow::Result<Self> {
        if roles.is_empty() {
            return Ok(Self::all());
        }
        let roles = Self(roles.iter().copied().collect());
        for role in Role::WITH_LOGIC {
            anyhow::ensure!(
                roles.has(role) == roles.has(Role::Logic),
                "role {} runs in the same process as role logic: name both or neither",
                role.name()
            );
        }
        Ok(roles)
    }

    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    pub fn is_all(&self) -> bool {
        self.0.len() == Role::ALL.len()
    }
}

impl std::fmt::Display for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.0.iter().map(|role| role.name()).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_role_named_means_all_and_logic_brings_its_companions() {
        assert!(Roles::new(&[]).unwrap().is_all());
        assert!(Roles::new(&[Role::Comet]).is_ok());
        assert!(Roles::new(&[Role::Comet, Role::Gate]).is_ok());
        let refused = Roles::new(&[Role::Logic]).unwrap_err().to_string();
        assert_eq!(refused, "role status runs in the same process as role logic: name both or neither");
        assert!(Roles::new(&[Role::Job]).is_err());
        assert_eq!(Roles::new(&[Role::Gate, Role::Comet]).unwrap().to_string(), "gate,comet");
    }
}
