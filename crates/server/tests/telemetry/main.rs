//! What an operator sees of a running server: traces at a collector, metrics, log lines, and the guide's reference pages.

mod alarms;
mod collector;
mod logs;
mod metrics;
mod pages;
mod traces;
mod world;
