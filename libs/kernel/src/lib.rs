//! The types that every part of the store shares: ids, money, time, events, classes of errors.
//!
//! Nothing here does I/O. diesel, schemars and utoipa are dependencies because their traits can
//! only be implemented beside these types.

mod class;
mod clock;
mod event;
mod id;
mod money;
mod names;
mod shown;
mod text;
pub mod time;
mod trace;

pub use class::{Class, Classify, cause_chain};
pub use clock::Clock;
pub use event::{Event, EventId};
pub use id::{Id, Order, OrderId, Session, SessionId, Slot, SlotId, User, UserId};
pub use money::{Currency, InvalidCurrency, Money};
pub use names::{InvalidName, Sku, Zone};
pub use shown::shown;
pub use text::label;
pub use time::{InvalidTimestamp, Timestamp};
pub use trace::{InvalidTraceParent, TraceParent};
