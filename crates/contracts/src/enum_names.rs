//! The names that the values of the API's enums have on the wire.

/// An enum of the API. Implemented for each of them by the build script.
pub trait EnumNames {
    /// The names of its values but the one with the number 0, which is not given.
    const NAMES: &'static [&'static str];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    #[test]
    fn each_enum_has_the_names_of_its_values() {
        assert_eq!(v1::replay::Scope::NAMES, ["SCOPE_MISSED", "SCOPE_FAILED", "SCOPE_ALL"]);
        let regions = ["PAGER_DUTY_REGION_US", "PAGER_DUTY_REGION_EU"];
        assert_eq!(v1::PagerDutyRegion::NAMES, regions);
        for name in v1::AuditAction::NAMES {
            let known = v1::AuditAction::from_str_name(name).expect("a value");
            assert_eq!(known.as_str_name(), *name);
        }
    }
}
