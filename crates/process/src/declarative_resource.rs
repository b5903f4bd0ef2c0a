//! Resources that callers create with ids of their own, update and delete. With `allow_missing`, an
//! update creates what is missing, so that declarative tools can repeat one call until it says that
//! everything is as it should be.
//!
//! Decision: docs/decisions/ids-may-be-the-callers.md

use std::fmt::Display;

use keeptrusts_webhooks_contracts::api::Violations;
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, ResourceWithCallersId, TakenId};
use keeptrusts_webhooks_domain::entity::Entity;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_store::CountLimit;
use tonic::Status;

use crate::log_writer::{LogWriter, WriteError, retry_on_conflict};

/// A kind of resource, as its service manages it.
pub trait DeclarativeResource: Sync {
    type Id: Copy + Display + Send + Sync;
    type Entity: Entity<Fact: Send + Sync> + Send + Sync;
    type Command: Clone + Send + Sync;
    /// The request to create one.
    type Creation: Clone + Send + Sync;
    /// The request to update one.
    type Update: Sync;

    const RESOURCE: ResourceWithCallersId;

    fn writer<'a>(&'a self, organization: &'a OrganizationId) -> LogWriter<'a>;

    /// A resource, deleted or not.
    fn find(
        &self,
        organization: &OrganizationId,
        id: Self::Id,
    ) -> impl Future<Output = Result<Option<Self::Entity>, Status>> + Send;

    fn is_deleted(entity: &Self::Entity) -> bool;

    /// The fact that follows from a command, or the status of its refusal.
    fn decide(
        entity: &Self::Entity,
        command: Self::Command,
        etag: Option<&str>,
    ) -> Result<Option<<Self::Entity as Entity>::Fact>, Status>;

    /// Creates a resource within its limits, or only checks whether it could be created.
    fn try_create(
        &self,
        id: Self::Id,
        request: Self::Creation,
        metadata: Metadata,
    ) -> impl Future<Output = Result<Self::Entity, WriteError>> + Send;

    /// The status of a creation that a limit refuses.
    fn limit_reached(limit: CountLimit) -> Status;

    /// What an update says of every kind of resource.
    fn target(request: &Self::Update) -> Target<'_, Self>;

    /// Carries out the update of an existing resource, or only checks it.
    fn change(
        &self,
        entity: Self::Entity,
        request: &Self::Update,
        metadata: Metadata,
    ) -> impl Future<Output = Result<Self::Entity, WriteError>> + Send;

    /// A resource, unless it was deleted.
    fn existing(
        &self,
        organization: &OrganizationId,
        id: Self::Id,
    ) -> impl Future<Output = Result<Option<Self::Entity>, Status>> + Send {
        async move { Ok(self.find(organization, id).await?.filter(|row| !Self::is_deleted(row))) }
    }

    /// The same; NOT_FOUND: there is none.
    fn read(
        &self,
        organization: &OrganizationId,
        id: Self::Id,
    ) -> impl Future<Output = Result<Self::Entity, Status>> + Send {
        async move { self.existing(organization, id).await?.ok_or_else(|| not_found::<Self>(id)) }
    }

    /// What an earlier request was about, as it is now.
    fn read_again(
        &self,
        organization: &OrganizationId,
        id: Self::Id,
    ) -> impl Future<Output = Result<Self::Entity, Status>> + Send {
        async move {
            let existing = self.existing(organization, id).await?;
            existing.ok_or_else(|| status::not_found_any_more(Self::RESOURCE.into(), id))
        }
    }

    /// Creates a resource, or only checks whether it could be created.
    fn create(
        &self,
        organization: &OrganizationId,
        id: Self::Id,
        request: Self::Creation,
        metadata: Metadata,
    ) -> impl Future<Output = Result<Self::Entity, WriteError>> + Send {
        async move {
            // Whatever else is wrong with the request, it is a creation of what is there.
            self.refuse_taken(organization, id).await?;
            match self.try_create(id, request, metadata).await {
                Err(WriteError::Taken) => {
                    self.refuse_taken(organization, id).await?;
                    Err(taken::<Self>(id, TakenId::Otherwise).into())
                }
                Err(WriteError::LimitReached(limit)) => Err(Self::limit_reached(limit).into()),
                created => created,
            }
        }
    }

    /// For the words: whether an id is taken is decided when the record is appended.
    fn refuse_taken(
        &self,
        organization: &OrganizationId,
        id: Self::Id,
    ) -> impl Future<Output = Result<(), Status>> + Send {
        async move {
            match self.find(organization, id).await? {
                None => Ok(()),
                Some(row) if Self::is_deleted(&row) => {
                    Err(taken::<Self>(id, TakenId::ByDeletedResource))
                }
                Some(_) => Err(taken::<Self>(id, TakenId::ByResource)),
            }
        }
    }

    /// Updates a resource, or creates it if it is missing and that is allowed; or only checks whether
    /// it could.
    fn update(
        &self,
        request: &Self::Update,
        metadata: Metadata,
    ) -> impl Future<Output = Result<Self::Entity, Status>> + Send {
        async move {
            let attempt = || self.try_update(request, metadata.clone());
            Ok(retry_on_conflict(attempt).await?)
        }
    }

    /// One attempt of [`update`](Self::update).
    fn try_update(
        &self,
        request: &Self::Update,
        metadata: Metadata,
    ) -> impl Future<Output = Result<Self::Entity, WriteError>> + Send {
        async move {
            let Target { organization, id, etag, creation } = Self::target(request);
            let found = self.find(organization, id).await?;
            match (found, creation) {
                (Some(row), _) if !Self::is_deleted(&row) => {
                    self.change(row, request, metadata).await
                }
                (_, None) => Err(not_found::<Self>(id).into()),
                (Some(_), Some(_)) => Err(taken::<Self>(id, TakenId::ByDeletedResource).into()),
                // The caller has read a resource, and it is not there.
                (None, Some(_)) if etag.is_some() => {
                    Err(status::aborted_stale_etag(Self::RESOURCE.into()).into())
                }
                (None, Some(creation)) => {
                    let creation = creation.clone().map_err(Status::from)?;
                    match self.try_create(id, creation, metadata).await {
                        Err(WriteError::Taken) => match self.find(organization, id).await? {
                            // Somebody has created it since.
                            Some(_) => Err(WriteError::Conflict),
                            None => Err(taken::<Self>(id, TakenId::Otherwise).into()),
                        },
                        Err(WriteError::LimitReached(limit)) => {
                            Err(Self::limit_reached(limit).into())
                        }
                        created => created,
                    }
                }
            }
        }
    }

    /// Executes a command and returns the resource after it. An etag must be the current one. None:
    /// there is no such resource, or it was deleted.
    fn execute_if_exists(
        &self,
        organization: &OrganizationId,
        id: Self::Id,
        command: Self::Command,
        etag: Option<&str>,
        metadata: Metadata,
    ) -> impl Future<Output = Result<Option<Self::Entity>, WriteError>> + Send {
        async move {
            let attempt = || async {
                let Some(row) = self.existing(organization, id).await? else { return Ok(None) };
                let fact = Self::decide(&row, command.clone(), etag)?;
                self.writer(organization).record(row, fact, metadata.clone()).await.map(Some)
            };
            retry_on_conflict(attempt).await
        }
    }

    /// Deletes a resource. NOT_FOUND: there is none, and that is not allowed.
    fn delete(
        &self,
        organization: &OrganizationId,
        id: Self::Id,
        command: Self::Command,
        etag: Option<&str>,
        allow_missing: bool,
        metadata: Metadata,
    ) -> impl Future<Output = Result<(), Status>> + Send {
        async move {
            let deleted = self.execute_if_exists(organization, id, command, etag, metadata).await?;
            match deleted {
                None if !allow_missing => Err(not_found::<Self>(id)),
                _ => Ok(()),
            }
        }
    }
}

/// Which resource an update is of.
pub struct Target<'a, R: DeclarativeResource + ?Sized> {
    pub organization: &'a OrganizationId,
    pub id: R::Id,
    pub etag: Option<&'a str>,
    /// What to create if it is missing, or why that cannot be created. None: it is not found.
    pub creation: Option<&'a Result<R::Creation, Violations>>,
}

fn not_found<R: DeclarativeResource + ?Sized>(id: R::Id) -> Status {
    status::not_found(R::RESOURCE.into(), id)
}

fn taken<R: DeclarativeResource + ?Sized>(id: R::Id, taken: TakenId) -> Status {
    status::already_exists(R::RESOURCE, id, taken)
}
