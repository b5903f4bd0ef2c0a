use crate::Second;

named_enum! {
    pub enum First {
        Second(Second) = "second",
    }
}
