//! What follows a commit: relay from the change log, and delivery to whoever is connected.
//!
//! **Invariant:** nothing here is needed for a message to be kept or found; losing a step costs a hint, which sync and
//! the resync nets make good.

mod backlog;
mod breaker;
pub mod dispatch;
pub mod fanout;
mod intake;
pub(crate) mod live;
mod ownership;
pub mod relay;

pub(crate) use backlog::Backlog;
pub use dispatch::Dispatch;
pub use fanout::Fanout;
pub use intake::Intake;
pub(crate) use live::{Broadcasts, Ledger, LiveDispatch, LiveIntake};
pub use ownership::Ownership;
pub(crate) use ownership::Title;
pub use relay::Relay;
pub(crate) use relay::RelayPorts;
