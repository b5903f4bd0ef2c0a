pub struct Third;

pub fn is_first(value: &dyn std::any::Any) -> bool {
    matches!(value.downcast_ref::<crate::First>(), Some(_))
}

#[cfg(test)]
mod tests {
    use crate::Second;
}
