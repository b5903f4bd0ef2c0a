use super::third::Third;

pub struct Second(Third);
