//! Conversations as people meet them, through the Logic door: order, policy, sync, delivery. The store is the real one,
//! with somebody else writing at the worst moment; Comets write down what they are told, and fail on demand.

mod comets;
mod conversations;
mod delivery;
mod hooked;
mod live_rooms;
mod order;
mod pipeline;
mod pipeline_bounds;
mod push;
mod push_kept;
mod push_keys;
mod push_priority;
mod push_world;
mod registry_away;
mod sync;
mod world;
