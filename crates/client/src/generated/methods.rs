// Generated from proto/ by tests/generated_code. Do not edit.

impl Sealed for v1::CreateKeyRequest {}
impl UnaryRequest for v1::CreateKeyRequest {
    type Response = v1::CreateKeyResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.AccessService/CreateKey";
    fn make_repeatable(&mut self) -> bool {
        ensure_id(&mut self.request_id);
        true
    }
}
impl Sealed for v1::GetKeyRequest {}
impl UnaryRequest for v1::GetKeyRequest {
    type Response = v1::GetKeyResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.AccessService/GetKey";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::ListKeysRequest {}
impl UnaryRequest for v1::ListKeysRequest {
    type Response = v1::ListKeysResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.AccessService/ListKeys";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl ListRequest for v1::ListKeysRequest {
    type Item = v1::Key;
    fn set_page_token(&mut self, token: String) {
        self.page_token = token;
    }
    fn into_page(response: Self::Response) -> (Vec<Self::Item>, String) {
        (response.keys, response.next_page_token)
    }
}
impl Sealed for v1::RevokeKeyRequest {}
impl UnaryRequest for v1::RevokeKeyRequest {
    type Response = v1::RevokeKeyResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.AccessService/RevokeKey";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::WhoAmIRequest {}
impl UnaryRequest for v1::WhoAmIRequest {
    type Response = v1::WhoAmIResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.AccessService/WhoAmI";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::CreateSessionRequest {}
impl UnaryRequest for v1::CreateSessionRequest {
    type Response = v1::CreateSessionResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.AccessService/CreateSession";
    fn make_repeatable(&mut self) -> bool {
        ensure_id(&mut self.request_id);
        true
    }
}
impl Sealed for v1::EndSessionRequest {}
impl UnaryRequest for v1::EndSessionRequest {
    type Response = v1::EndSessionResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.AccessService/EndSession";
    fn make_repeatable(&mut self) -> bool {
        false
    }
}
impl Sealed for v1::ListAuditEntriesRequest {}
impl UnaryRequest for v1::ListAuditEntriesRequest {
    type Response = v1::ListAuditEntriesResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.AuditService/ListAuditEntries";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl ListRequest for v1::ListAuditEntriesRequest {
    type Item = v1::AuditEntry;
    fn set_page_token(&mut self, token: String) {
        self.page_token = token;
    }
    fn into_page(response: Self::Response) -> (Vec<Self::Item>, String) {
        (response.entries, response.next_page_token)
    }
}
impl Sealed for v1::SendTestRequest {}
impl UnaryRequest for v1::SendTestRequest {
    type Response = v1::SendTestResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/SendTest";
    fn make_repeatable(&mut self) -> bool {
        ensure_id(&mut self.request_id);
        true
    }
}
impl Sealed for v1::ListDeliveriesRequest {}
impl UnaryRequest for v1::ListDeliveriesRequest {
    type Response = v1::ListDeliveriesResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/ListDeliveries";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl ListRequest for v1::ListDeliveriesRequest {
    type Item = v1::Delivery;
    fn set_page_token(&mut self, token: String) {
        self.page_token = token;
    }
    fn into_page(response: Self::Response) -> (Vec<Self::Item>, String) {
        (response.deliveries, response.next_page_token)
    }
}
impl Sealed for v1::GetDeliveryRequest {}
impl UnaryRequest for v1::GetDeliveryRequest {
    type Response = v1::GetDeliveryResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/GetDelivery";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::GetAttemptRequest {}
impl UnaryRequest for v1::GetAttemptRequest {
    type Response = v1::GetAttemptResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/GetAttempt";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::ListAttemptsRequest {}
impl UnaryRequest for v1::ListAttemptsRequest {
    type Response = v1::ListAttemptsResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/ListAttempts";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl ListRequest for v1::ListAttemptsRequest {
    type Item = v1::Attempt;
    fn set_page_token(&mut self, token: String) {
        self.page_token = token;
    }
    fn into_page(response: Self::Response) -> (Vec<Self::Item>, String) {
        (response.attempts, response.next_page_token)
    }
}
impl Sealed for v1::RetryDeliveryRequest {}
impl UnaryRequest for v1::RetryDeliveryRequest {
    type Response = v1::RetryDeliveryResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/RetryDelivery";
    fn make_repeatable(&mut self) -> bool {
        ensure_id(&mut self.request_id);
        true
    }
}
impl Sealed for v1::CancelDeliveryRequest {}
impl UnaryRequest for v1::CancelDeliveryRequest {
    type Response = v1::CancelDeliveryResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/CancelDelivery";
    fn make_repeatable(&mut self) -> bool {
        false
    }
}
impl Sealed for v1::WatchEventsRequest {}
impl WatchRequest for v1::WatchEventsRequest {
    type Response = v1::WatchEventsResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/WatchEvents";
    const RESUMES: bool = true;
    fn resume_after(&mut self, last: &Self::Response) -> bool {
        self.resume_token.clone_from(&last.resume_token);
        last.event.is_some()
    }
}
impl Sealed for v1::WatchDeliveriesRequest {}
impl WatchRequest for v1::WatchDeliveriesRequest {
    type Response = v1::WatchDeliveriesResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/WatchDeliveries";
    const RESUMES: bool = true;
    fn resume_after(&mut self, last: &Self::Response) -> bool {
        self.resume_token.clone_from(&last.resume_token);
        last.delivery.is_some() || last.attempt.is_some()
    }
}
impl Sealed for v1::GetEndpointStatsRequest {}
impl UnaryRequest for v1::GetEndpointStatsRequest {
    type Response = v1::GetEndpointStatsResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/GetEndpointStats";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::GetHealthSummaryRequest {}
impl UnaryRequest for v1::GetHealthSummaryRequest {
    type Response = v1::GetHealthSummaryResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/GetHealthSummary";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::CreateReplayRequest {}
impl UnaryRequest for v1::CreateReplayRequest {
    type Response = v1::CreateReplayResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/CreateReplay";
    fn make_repeatable(&mut self) -> bool {
        ensure_id(&mut self.request_id);
        true
    }
}
impl Sealed for v1::GetReplayRequest {}
impl UnaryRequest for v1::GetReplayRequest {
    type Response = v1::GetReplayResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/GetReplay";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::ListReplaysRequest {}
impl UnaryRequest for v1::ListReplaysRequest {
    type Response = v1::ListReplaysResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/ListReplays";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl ListRequest for v1::ListReplaysRequest {
    type Item = v1::Replay;
    fn set_page_token(&mut self, token: String) {
        self.page_token = token;
    }
    fn into_page(response: Self::Response) -> (Vec<Self::Item>, String) {
        (response.replays, response.next_page_token)
    }
}
impl Sealed for v1::CancelReplayRequest {}
impl UnaryRequest for v1::CancelReplayRequest {
    type Response = v1::CancelReplayResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/CancelReplay";
    fn make_repeatable(&mut self) -> bool {
        false
    }
}
impl Sealed for v1::WatchReplayRequest {}
impl WatchRequest for v1::WatchReplayRequest {
    type Response = v1::WatchReplayResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.DispatchService/WatchReplay";
    const RESUMES: bool = false;
    fn resume_after(&mut self, last: &Self::Response) -> bool {
        last.replay.is_some()
    }
}
impl Sealed for v1::CreateEndpointRequest {}
impl UnaryRequest for v1::CreateEndpointRequest {
    type Response = v1::CreateEndpointResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.EndpointService/CreateEndpoint";
    fn make_repeatable(&mut self) -> bool {
        ensure_id(&mut self.request_id);
        true
    }
}
impl Sealed for v1::GetEndpointRequest {}
impl UnaryRequest for v1::GetEndpointRequest {
    type Response = v1::GetEndpointResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.EndpointService/GetEndpoint";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::ListEndpointsRequest {}
impl UnaryRequest for v1::ListEndpointsRequest {
    type Response = v1::ListEndpointsResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.EndpointService/ListEndpoints";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl ListRequest for v1::ListEndpointsRequest {
    type Item = v1::Endpoint;
    fn set_page_token(&mut self, token: String) {
        self.page_token = token;
    }
    fn into_page(response: Self::Response) -> (Vec<Self::Item>, String) {
        (response.endpoints, response.next_page_token)
    }
}
impl Sealed for v1::UpdateEndpointRequest {}
impl UnaryRequest for v1::UpdateEndpointRequest {
    type Response = v1::UpdateEndpointResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.EndpointService/UpdateEndpoint";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::EnableEndpointRequest {}
impl UnaryRequest for v1::EnableEndpointRequest {
    type Response = v1::EnableEndpointResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.EndpointService/EnableEndpoint";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::DisableEndpointRequest {}
impl UnaryRequest for v1::DisableEndpointRequest {
    type Response = v1::DisableEndpointResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.EndpointService/DisableEndpoint";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::DeleteEndpointRequest {}
impl UnaryRequest for v1::DeleteEndpointRequest {
    type Response = v1::DeleteEndpointResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.EndpointService/DeleteEndpoint";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::RotateSecretRequest {}
impl UnaryRequest for v1::RotateSecretRequest {
    type Response = v1::RotateSecretResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.EndpointService/RotateSecret";
    fn make_repeatable(&mut self) -> bool {
        ensure_id(&mut self.request_id);
        true
    }
}
impl Sealed for v1::RevealSecretRequest {}
impl UnaryRequest for v1::RevealSecretRequest {
    type Response = v1::RevealSecretResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.EndpointService/RevealSecret";
    fn make_repeatable(&mut self) -> bool {
        false
    }
}
impl Sealed for v1::PreviewPayloadRequest {}
impl UnaryRequest for v1::PreviewPayloadRequest {
    type Response = v1::PreviewPayloadResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.EndpointService/PreviewPayload";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::ListEventTypesRequest {}
impl UnaryRequest for v1::ListEventTypesRequest {
    type Response = v1::ListEventTypesResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.EndpointService/ListEventTypes";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl ListRequest for v1::ListEventTypesRequest {
    type Item = v1::EventType;
    fn set_page_token(&mut self, token: String) {
        self.page_token = token;
    }
    fn into_page(response: Self::Response) -> (Vec<Self::Item>, String) {
        (response.event_types, response.next_page_token)
    }
}
impl Sealed for v1::PublishEventRequest {}
impl UnaryRequest for v1::PublishEventRequest {
    type Response = v1::PublishEventResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.IngestService/PublishEvent";
    fn make_repeatable(&mut self) -> bool {
        ensure_id(&mut self.idempotency_key);
        true
    }
}
impl Sealed for v1::BatchPublishEventsRequest {}
impl UnaryRequest for v1::BatchPublishEventsRequest {
    type Response = v1::BatchPublishEventsResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.IngestService/BatchPublishEvents";
    fn make_repeatable(&mut self) -> bool {
        for item in &mut self.requests {
            ensure_id(&mut item.idempotency_key);
        }
        true
    }
}
impl Sealed for v1::GetEventRequest {}
impl UnaryRequest for v1::GetEventRequest {
    type Response = v1::GetEventResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.IngestService/GetEvent";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::ListEventsRequest {}
impl UnaryRequest for v1::ListEventsRequest {
    type Response = v1::ListEventsResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.IngestService/ListEvents";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl ListRequest for v1::ListEventsRequest {
    type Item = v1::Event;
    fn set_page_token(&mut self, token: String) {
        self.page_token = token;
    }
    fn into_page(response: Self::Response) -> (Vec<Self::Item>, String) {
        (response.events, response.next_page_token)
    }
}
impl Sealed for v1::CreateChannelRequest {}
impl UnaryRequest for v1::CreateChannelRequest {
    type Response = v1::CreateChannelResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.NotificationService/CreateChannel";
    fn make_repeatable(&mut self) -> bool {
        ensure_id(&mut self.request_id);
        true
    }
}
impl Sealed for v1::GetChannelRequest {}
impl UnaryRequest for v1::GetChannelRequest {
    type Response = v1::GetChannelResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.NotificationService/GetChannel";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::ListChannelsRequest {}
impl UnaryRequest for v1::ListChannelsRequest {
    type Response = v1::ListChannelsResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.NotificationService/ListChannels";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl ListRequest for v1::ListChannelsRequest {
    type Item = v1::Channel;
    fn set_page_token(&mut self, token: String) {
        self.page_token = token;
    }
    fn into_page(response: Self::Response) -> (Vec<Self::Item>, String) {
        (response.channels, response.next_page_token)
    }
}
impl Sealed for v1::UpdateChannelRequest {}
impl UnaryRequest for v1::UpdateChannelRequest {
    type Response = v1::UpdateChannelResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.NotificationService/UpdateChannel";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::DeleteChannelRequest {}
impl UnaryRequest for v1::DeleteChannelRequest {
    type Response = v1::DeleteChannelResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.NotificationService/DeleteChannel";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::TestChannelRequest {}
impl UnaryRequest for v1::TestChannelRequest {
    type Response = v1::TestChannelResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.NotificationService/TestChannel";
    fn make_repeatable(&mut self) -> bool {
        ensure_id(&mut self.request_id);
        true
    }
}
impl Sealed for v1::GetNotificationRequest {}
impl UnaryRequest for v1::GetNotificationRequest {
    type Response = v1::GetNotificationResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.NotificationService/GetNotification";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl Sealed for v1::ListNotificationsRequest {}
impl UnaryRequest for v1::ListNotificationsRequest {
    type Response = v1::ListNotificationsResponse;
    const PATH: &'static str = "/keeptrusts.webhooks.v1.NotificationService/ListNotifications";
    fn make_repeatable(&mut self) -> bool {
        true
    }
}
impl ListRequest for v1::ListNotificationsRequest {
    type Item = v1::Notification;
    fn set_page_token(&mut self, token: String) {
        self.page_token = token;
    }
    fn into_page(response: Self::Response) -> (Vec<Self::Item>, String) {
        (response.notifications, response.next_page_token)
    }
}

impl Client {
    /// Creates an API key. Only this response shows its token. A key that is created with an expiring key,
    /// or in a session of one, must expire no later than that key. A web token may create keys that last,
    /// because its issuer renews it anyway.
    /// INVALID_ARGUMENT: a field breaks its rule. NOT_FOUND: not the caller's organization.
    pub async fn create_key(
        &self,
        request: v1::CreateKeyRequest,
    ) -> Result<v1::CreateKeyResponse, Error> {
        self.call(request).await
    }
    /// NOT_FOUND: no such key or session in the organization.
    pub async fn get_key(&self, request: v1::GetKeyRequest) -> Result<v1::GetKeyResponse, Error> {
        self.call(request).await
    }
    /// The organization's keys and sessions, revoked and expired ones included.
    pub async fn list_keys(
        &self,
        request: v1::ListKeysRequest,
    ) -> Result<v1::ListKeysResponse, Error> {
        self.call(request).await
    }
    /// Revokes a key, within 5 seconds everywhere, and ends every session that was opened with it. These
    /// sessions have no entries of their own in the audit trail; their `state` says that they have ended.
    /// Does nothing if the key was revoked already. NOT_FOUND: no such key in the organization.
    pub async fn revoke_key(
        &self,
        request: v1::RevokeKeyRequest,
    ) -> Result<v1::RevokeKeyResponse, Error> {
        self.call(request).await
    }
    /// Says who the caller is and what it may do.
    pub async fn who_am_i(&self, request: v1::WhoAmIRequest) -> Result<v1::WhoAmIResponse, Error> {
        self.call(request).await
    }
    /// Exchanges the caller's token for the token of a session, for a browser. It lasts for hours and can be
    /// ended on its own. It may do what the caller may, in one organization. It ends with the caller's key.
    pub async fn create_session(
        &self,
        request: v1::CreateSessionRequest,
    ) -> Result<v1::CreateSessionResponse, Error> {
        self.call(request).await
    }
    /// Ends the session of the caller's token. FAILED_PRECONDITION: the token is not that of a session.
    pub async fn end_session(
        &self,
        request: v1::EndSessionRequest,
    ) -> Result<v1::EndSessionResponse, Error> {
        self.call(request).await
    }
    /// The actions in an organization, newest first. Publishing is not listed; see ListEvents.
    pub async fn list_audit_entries(
        &self,
        request: v1::ListAuditEntriesRequest,
    ) -> Result<v1::ListAuditEntriesResponse, Error> {
        self.call(request).await
    }
    /// Sends one test event to an endpoint, and to no other, and waits for the outcome. A test is never
    /// retried, its failure does not degrade the endpoint, and replays and WatchEvents leave it out.
    /// FAILED_PRECONDITION: the endpoint is disabled.
    /// DEADLINE_EXCEEDED: there was no outcome within the request's deadline. The test goes on.
    pub async fn send_test(
        &self,
        request: v1::SendTestRequest,
    ) -> Result<v1::SendTestResponse, Error> {
        self.call(request).await
    }
    /// The organization's deliveries, newest first.
    pub async fn list_deliveries(
        &self,
        request: v1::ListDeliveriesRequest,
    ) -> Result<v1::ListDeliveriesResponse, Error> {
        self.call(request).await
    }
    /// One delivery with its attempts, and with their headers and bodies as far as they fit into one
    /// response.
    pub async fn get_delivery(
        &self,
        request: v1::GetDeliveryRequest,
    ) -> Result<v1::GetDeliveryResponse, Error> {
        self.call(request).await
    }
    /// One attempt, with its headers and bodies unless the view is BASIC.
    pub async fn get_attempt(
        &self,
        request: v1::GetAttemptRequest,
    ) -> Result<v1::GetAttemptResponse, Error> {
        self.call(request).await
    }
    /// The delivery log: attempts, newest first.
    pub async fn list_attempts(
        &self,
        request: v1::ListAttemptsRequest,
    ) -> Result<v1::ListAttemptsResponse, Error> {
        self.call(request).await
    }
    /// Requests another attempt with the same bytes, at once. It neither uses up nor restarts the retry
    /// schedule. A success ends the delivery.
    /// FAILED_PRECONDITION: the endpoint is disabled or deleted, or the event's body is no longer kept.
    pub async fn retry_delivery(
        &self,
        request: v1::RetryDeliveryRequest,
    ) -> Result<v1::RetryDeliveryResponse, Error> {
        self.call(request).await
    }
    /// Cancels a waiting delivery. A running attempt is not interrupted.
    /// FAILED_PRECONDITION: the delivery has ended already.
    pub async fn cancel_delivery(
        &self,
        request: v1::CancelDeliveryRequest,
    ) -> Result<v1::CancelDeliveryResponse, Error> {
        self.call(request).await
    }
    /// Counts and durations of an endpoint's attempts over the last hours.
    pub async fn get_endpoint_stats(
        &self,
        request: v1::GetEndpointStatsRequest,
    ) -> Result<v1::GetEndpointStatsResponse, Error> {
        self.call(request).await
    }
    /// The attempts of a week for all of the organization's endpoints, the worst endpoints first.
    pub async fn get_health_summary(
        &self,
        request: v1::GetHealthSummaryRequest,
    ) -> Result<v1::GetHealthSummaryResponse, Error> {
        self.call(request).await
    }
    /// Sends past events to an endpoint: those that it missed, those that failed, or all. Returns when the
    /// replay is recorded; WatchReplay and GetReplay say how far it is. Events that were delivered, or
    /// whose delivery has not ended, are not sent again unless requested, so it is safe to request the
    /// same replay twice. The deliveries are counted first, event by event: with more than a million
    /// events, give the call a deadline of a minute.
    /// FAILED_PRECONDITION: the endpoint is disabled, or has a running replay. Neither prevents counting
    /// (validate_only).
    /// RESOURCE_EXHAUSTED: the organization has 10 running replays; or too much is being counted already
    /// (OVERLOADED, with RetryInfo).
    pub async fn create_replay(
        &self,
        request: v1::CreateReplayRequest,
    ) -> Result<v1::CreateReplayResponse, Error> {
        self.call(request).await
    }
    /// One replay with its present state.
    pub async fn get_replay(
        &self,
        request: v1::GetReplayRequest,
    ) -> Result<v1::GetReplayResponse, Error> {
        self.call(request).await
    }
    /// The organization's replays, newest first.
    pub async fn list_replays(
        &self,
        request: v1::ListReplaysRequest,
    ) -> Result<v1::ListReplaysResponse, Error> {
        self.call(request).await
    }
    /// Cancels a running replay. Deliveries that it has scheduled are still made.
    /// FAILED_PRECONDITION: the replay has ended already.
    pub async fn cancel_replay(
        &self,
        request: v1::CancelReplayRequest,
    ) -> Result<v1::CancelReplayResponse, Error> {
        self.call(request).await
    }
    /// Creates an endpoint, which is active at once. Only this response and RevealSecret show the
    /// secret.
    /// INVALID_ARGUMENT: a field breaks its rule.
    /// ALREADY_EXISTS: the endpoint_id is that of an endpoint, or was once (ENDPOINT_EXISTS).
    /// FAILED_PRECONDITION: the organization was erased.
    /// RESOURCE_EXHAUSTED: the organization has as many endpoints as it may have.
    pub async fn create_endpoint(
        &self,
        request: v1::CreateEndpointRequest,
    ) -> Result<v1::CreateEndpointResponse, Error> {
        self.call(request).await
    }
    /// NOT_FOUND: no such endpoint in the organization, or it was deleted.
    pub async fn get_endpoint(
        &self,
        request: v1::GetEndpointRequest,
    ) -> Result<v1::GetEndpointResponse, Error> {
        self.call(request).await
    }
    /// The organization's endpoints, newest first. Deleted ones are not listed.
    pub async fn list_endpoints(
        &self,
        request: v1::ListEndpointsRequest,
    ) -> Result<v1::ListEndpointsResponse, Error> {
        self.call(request).await
    }
    /// Changes the fields that the mask names; with `allow_missing` it creates a missing endpoint. An update
    /// that changes nothing records nothing: etag and update_time stay. AIP-134.
    /// ABORTED: the given etag is not the current one, or the endpoint is missing; read it again and decide
    /// again.
    /// ALREADY_EXISTS: with `allow_missing`, the endpoint was deleted (ENDPOINT_EXISTS).
    /// FAILED_PRECONDITION: the update has a secret, and the organization was erased; or the new URL is
    /// on another server, and the routing key, which only the old server may get, is not given again
    /// (CREDENTIAL_REQUIRED).
    pub async fn update_endpoint(
        &self,
        request: v1::UpdateEndpointRequest,
    ) -> Result<v1::UpdateEndpointResponse, Error> {
        self.call(request).await
    }
    /// Resumes deliveries and the retries that wait. Does nothing if the endpoint is not disabled.
    pub async fn enable_endpoint(
        &self,
        request: v1::EnableEndpointRequest,
    ) -> Result<v1::EnableEndpointResponse, Error> {
        self.call(request).await
    }
    /// Stops deliveries and keeps the configuration. Does nothing if the endpoint is disabled.
    pub async fn disable_endpoint(
        &self,
        request: v1::DisableEndpointRequest,
    ) -> Result<v1::DisableEndpointResponse, Error> {
        self.call(request).await
    }
    /// Deletes the endpoint and cancels its waiting deliveries. Its history stays readable.
    pub async fn delete_endpoint(
        &self,
        request: v1::DeleteEndpointRequest,
    ) -> Result<v1::DeleteEndpointResponse, Error> {
        self.call(request).await
    }
    /// Replaces the secret. During the overlap the old secret signs beside the new one.
    /// FAILED_PRECONDITION: the organization was erased.
    pub async fn rotate_secret(
        &self,
        request: v1::RotateSecretRequest,
    ) -> Result<v1::RotateSecretResponse, Error> {
        self.call(request).await
    }
    /// Shows the secret in clear. For admins only, with an entry in the audit trail.
    /// FAILED_PRECONDITION: the organization was erased.
    pub async fn reveal_secret(
        &self,
        request: v1::RevealSecretRequest,
    ) -> Result<v1::RevealSecretResponse, Error> {
        self.call(request).await
    }
    /// Renders the body of an event in a payload format. Nothing is saved or sent.
    /// INVALID_ARGUMENT: a field breaks its rule, or the template fails.
    /// RESOURCE_EXHAUSTED (with RetryInfo): too many templates of the organization are being rendered.
    pub async fn preview_payload(
        &self,
        request: v1::PreviewPayloadRequest,
    ) -> Result<v1::PreviewPayloadResponse, Error> {
        self.call(request).await
    }
    /// The event types that an endpoint may subscribe to, by category.
    pub async fn list_event_types(
        &self,
        request: v1::ListEventTypesRequest,
    ) -> Result<v1::ListEventTypesResponse, Error> {
        self.call(request).await
    }
    /// Publishes one event.
    /// INVALID_ARGUMENT: a field breaks its rule.
    /// ALREADY_EXISTS: the idempotency key was used for an event with other content.
    /// RESOURCE_EXHAUSTED (with RetryInfo): the organization publishes faster than it may
    /// (PUBLISH_QUOTA_EXCEEDED), or 512 of its events are waiting for their commit and none of them made
    /// room within 2 s (TOO_MANY_REQUESTS). The event was not accepted.
    /// UNAVAILABLE (with RetryInfo): the event was not accepted, or that is not known. Publish it again with
    /// the same idempotency key, so that it cannot count twice.
    pub async fn publish_event(
        &self,
        request: v1::PublishEventRequest,
    ) -> Result<v1::PublishEventResponse, Error> {
        self.call(request).await
    }
    /// Publishes up to 1,000 events, with a result for each. Valid events are accepted even if others are
    /// refused. Events are committed 256 at a time. If a commit fails, or its result is not known, these
    /// events and the following ones have the error that PublishEvent would return; the previous ones were
    /// accepted.
    pub async fn batch_publish_events(
        &self,
        request: v1::BatchPublishEventsRequest,
    ) -> Result<v1::BatchPublishEventsResponse, Error> {
        self.call(request).await
    }
    /// One event, with its body unless the view is BASIC.
    pub async fn get_event(
        &self,
        request: v1::GetEventRequest,
    ) -> Result<v1::GetEventResponse, Error> {
        self.call(request).await
    }
    /// The organization's events, newest first.
    pub async fn list_events(
        &self,
        request: v1::ListEventsRequest,
    ) -> Result<v1::ListEventsResponse, Error> {
        self.call(request).await
    }
    /// Creates a channel, which is active at once.
    /// INVALID_ARGUMENT: a field breaks its rule, or the organization has no such endpoint.
    /// ALREADY_EXISTS: the channel_id is that of a channel, or was once (CHANNEL_EXISTS).
    /// FAILED_PRECONDITION: it is an e-mail channel and the server sends no mail; or the organization was
    /// erased.
    /// RESOURCE_EXHAUSTED: the organization has 50 channels.
    pub async fn create_channel(
        &self,
        request: v1::CreateChannelRequest,
    ) -> Result<v1::CreateChannelResponse, Error> {
        self.call(request).await
    }
    /// NOT_FOUND: no such channel in the organization, or it was deleted.
    pub async fn get_channel(
        &self,
        request: v1::GetChannelRequest,
    ) -> Result<v1::GetChannelResponse, Error> {
        self.call(request).await
    }
    /// The organization's channels, newest first. Deleted ones are not listed.
    pub async fn list_channels(
        &self,
        request: v1::ListChannelsRequest,
    ) -> Result<v1::ListChannelsResponse, Error> {
        self.call(request).await
    }
    /// Changes the fields that the mask names; with `allow_missing` it creates a missing channel. An update
    /// that changes nothing records nothing: etag and update_time stay. AIP-134.
    /// ABORTED: the given etag is not the current one, or the channel is missing; read it again and decide
    /// again.
    /// ALREADY_EXISTS: with `allow_missing`, the channel was deleted (CHANNEL_EXISTS).
    /// INVALID_ARGUMENT: as for CreateChannel, but the channel's present endpoints may be deleted ones.
    /// FAILED_PRECONDITION: the update has a secret, and the organization was erased; or the new destination
    /// is on another server, and the secret, which only the old server may get, is not given again
    /// (CREDENTIAL_REQUIRED).
    pub async fn update_channel(
        &self,
        request: v1::UpdateChannelRequest,
    ) -> Result<v1::UpdateChannelResponse, Error> {
        self.call(request).await
    }
    /// Deletes a channel. Its waiting notifications are not sent. Its history stays readable.
    pub async fn delete_channel(
        &self,
        request: v1::DeleteChannelRequest,
    ) -> Result<v1::DeleteChannelResponse, Error> {
        self.call(request).await
    }
    /// Sends one test to a channel and waits for the outcome. A test is never sent again. Its outcome counts
    /// for the channel's state.
    /// DEADLINE_EXCEEDED: there was no outcome within the request's deadline. The test goes on.
    /// RESOURCE_EXHAUSTED: it is an e-mail channel, and the organization has used up its messages or
    /// recipients of a minute or of 24 hours; RetryInfo says when the next message may be sent.
    pub async fn test_channel(
        &self,
        request: v1::TestChannelRequest,
    ) -> Result<v1::TestChannelResponse, Error> {
        self.call(request).await
    }
    /// NOT_FOUND: no such notification in the organization.
    pub async fn get_notification(
        &self,
        request: v1::GetNotificationRequest,
    ) -> Result<v1::GetNotificationResponse, Error> {
        self.call(request).await
    }
    /// The organization's notifications, newest first.
    pub async fn list_notifications(
        &self,
        request: v1::ListNotificationsRequest,
    ) -> Result<v1::ListNotificationsResponse, Error> {
        self.call(request).await
    }
}
