use crate::Second;

pub struct First(Option<Box<Second>>);
