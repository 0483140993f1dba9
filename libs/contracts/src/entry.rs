use kernel::Event;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};

/// One event of the catalogue.
pub struct Entry {
    pub topic: &'static str,
    pub event_type: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
    #[cfg(test)]
    read_and_write: fn(&serde_json::Value) -> serde_json::Result<serde_json::Value>,
}

impl Entry {
    pub(crate) fn of<E: Event + JsonSchema>() -> Self {
        Self {
            topic: E::TOPIC,
            event_type: E::TYPE,
            schema: SchemaGenerator::root_schema_for::<E>,
            #[cfg(test)]
            read_and_write: |event| serde_json::to_value(E::deserialize(event)?),
        }
    }

    /// What is left of an event that today's type reads and writes again.
    #[cfg(test)]
    pub(crate) fn read_and_write(
        &self,
        event: &serde_json::Value,
    ) -> serde_json::Result<serde_json::Value> {
        (self.read_and_write)(event)
    }

    /// The event's JSON schema (draft 2020-12).
    pub fn schema(&self) -> Schema {
        (self.schema)(&mut SchemaSettings::draft2020_12().into_generator())
    }
}

/// Implements [`kernel::Event`] for each `Type "type" by |event| key` of one topic, and lists the
/// events of the topic for the catalogue. `of order` marks an event whose key is an order's id.
macro_rules! events {
    (
        $topic:literal:
        $($event:ident $type:literal $(of $order:ident)? by |$this:ident| $key:expr;)+
    ) => {
        pub const TOPIC: &str = $topic;

        $(impl kernel::Event for $event {
            const TYPE: &'static str = $type;
            const TOPIC: &'static str = TOPIC;
            fn key(&self) -> String {
                let $this = self;
                $key.to_string()
            }
            $(fn order(&self) -> Option<kernel::OrderId> {
                crate::entry::events!(@$order);
                let $this = self;
                Some($key)
            })?
        })+

        pub(crate) fn entries() -> Vec<crate::entry::Entry> {
            vec![$(crate::entry::Entry::of::<$event>()),+]
        }
    };
    (@order) => {};
}
pub(crate) use events;
