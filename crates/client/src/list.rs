//! Lists as streams.

use futures_core::Stream;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{Client, Error, ListRequest};

impl Client {
    /// The items of a list, page after page. The next page is requested when the items of the last one are
    /// used up. After an error the stream ends.
    ///
    /// ```no_run
    /// # use keeptrusts_webhooks_client::{Client, Error, v1};
    /// use futures_util::TryStreamExt;
    ///
    /// # async fn example(client: Client) -> Result<(), Error> {
    /// let request = v1::ListEndpointsRequest { organization_id: "acme".into(), ..Default::default() };
    /// let mut endpoints = std::pin::pin!(client.items(request));
    /// while let Some(endpoint) = endpoints.try_next().await? {
    ///     println!("{}: {}", endpoint.id, endpoint.url);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn items<R: ListRequest>(
        &self,
        request: R,
    ) -> impl Stream<Item = Result<R::Item, Error>> + Send + use<R> {
        let start = (self.clone(), Some(request));
        stream::try_unfold(start, |(client, request)| async move {
            let Some(mut request) = request else { return Ok(None) };
            let (items, token) = R::into_page(client.call(request.clone()).await?);
            let next = (!token.is_empty()).then(|| {
                request.set_page_token(token);
                request
            });
            Ok::<_, Error>(Some((items, (client, next))))
        })
        .map_ok(|items| stream::iter(items).map(Ok))
        .try_flatten()
    }
}
