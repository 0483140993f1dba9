use kernel::Currency;

/// What the use cases of billing share: settings that stay the same while it runs.
#[derive(Clone)]
pub struct State {
    /// The store's one currency.
    pub currency: Currency,
}
