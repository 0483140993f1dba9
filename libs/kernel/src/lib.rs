//! The words that every part of the store shares. Nothing here does I/O.

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
