//! Encodes and decodes facts about operators' commands.

use keeptrusts_webhooks_domain::fact::OperatorFact;

use super::error::DecodeError;
use crate::log::v1 as pb;
use crate::log::v1::record_data::Fact as Message;

impl From<&OperatorFact> for Message {
    fn from(fact: &OperatorFact) -> Self {
        match fact {
            OperatorFact::OrganizationErased => {
                Message::OrganizationErased(pb::OrganizationErased {})
            }
            OperatorFact::MasterKeyRotated { previous, current } => {
                Message::MasterKeyRotated(pb::MasterKeyRotated {
                    previous_key_id: previous.clone(),
                    key_id: current.clone(),
                })
            }
        }
    }
}

pub(super) fn decode(message: Message) -> Result<OperatorFact, DecodeError> {
    Ok(match message {
        Message::OrganizationErased(pb::OrganizationErased {}) => OperatorFact::OrganizationErased,
        Message::MasterKeyRotated(rotated) => OperatorFact::MasterKeyRotated {
            previous: rotated.previous_key_id,
            current: rotated.key_id,
        },
        _ => return Err(DecodeError::WrongStream),
    })
}
