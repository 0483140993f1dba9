//! The schema of a domain type on the API's page. The domain itself knows no OpenAPI.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::domain::status::Status;

impl PartialSchema for Status {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "Where an order is. It is derived from the order's facts, never set.",
            ))
            .enum_values(Some(Self::ALL.map(Self::as_str)))
            .into()
    }
}

impl ToSchema for Status {
    fn name() -> Cow<'static, str> {
        "Status".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema lists the texts of `as_str`; answers carry those of serde.
    #[test]
    fn each_status_is_shown_as_the_schema_lists_it() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }
}
