//! Every event of the store, one file per producer. The JSON schema of each is checked in under
//! `schemas/`; a test fails when a type and its schema differ, so that a change of a contract is
//! always a visible one.

mod about;
pub mod billing;
pub mod catalogue;
pub mod delivery;
pub mod orders;
#[cfg(test)]
mod released;
mod sheet;
pub mod users;
pub mod warehouse;

pub use about::About;
pub use sheet::{Line, OrderSheet};

/// Implements [`kernel::Event`] for each `Type "type" by |event| key` of one topic; `of order`
/// where the key is an order's.
macro_rules! events {
    ($topic:literal: $($event:ident $type:literal $(of $order:ident)? by |$this:ident| $key:expr;)+) => {
        pub const TOPIC: &str = $topic;

        $(impl kernel::Event for $event {
            const TYPE: &'static str = $type;
            const TOPIC: &'static str = TOPIC;
            fn key(&self) -> String {
                let $this = self;
                $key.to_string()
            }
            $(fn order(&self) -> Option<kernel::OrderId> {
                crate::events!(@$order);
                let $this = self;
                Some($key)
            })?
        })+

        pub(crate) fn entries() -> Vec<crate::catalogue::Entry> {
            vec![$(crate::catalogue::Entry::of::<$event>()),+]
        }
    };
    (@order) => {};
}
pub(crate) use events;
