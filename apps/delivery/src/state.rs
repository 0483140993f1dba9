/// What the use cases of delivery share: nothing, as each needs only its transaction.
#[derive(Clone, Copy)]
pub struct State;
