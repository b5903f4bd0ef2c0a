//! Why a web token gives no access.

use super::access_claims::ClaimProblem;
use crate::issuer::TokenDefect;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WebTokenError {
    /// The token is not valid. The reason is for the operator's log only.
    Invalid(TokenDefect),
    /// The token is valid, but its claims give no access. The client is told why: the claims are its
    /// own, and whoever sets up the issuer needs to know what to put into them.
    Insufficient(ClaimProblem),
    /// The issuer's keys are not available.
    NoKeys,
}
