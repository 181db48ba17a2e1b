//! The pace of a client that receives a response: one that stops reading is disconnected.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::api::Api;
use crate::connections::Connection;

/// Responses up to this size fit into the buffers on their way, and are not watched.
const MAX_UNWATCHED_BYTES: u64 = 64 * 1024;
/// The largest part that is sent at once: within a larger one, progress could not be observed.
const MAX_PART: usize = 32 * 1024;
/// A part has another second for each so many bytes.
const BYTES_PER_SECOND: u64 = 4 * 1024;

/// The middleware that watches how fast clients read large responses and streams.
///
/// # Errors
///
/// Those of the handler.
pub async fn pace(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let timeout = request.app_data::<Data<Api>>().map(|api| api.settings.reader_time);
    let connection = request.conn_data::<Connection>().cloned();
    let response = next.call(request).await?;
    let (Some(timeout), Some(connection)) = (timeout, connection) else {
        return Ok(response.map_into_boxed_body());
    };
    Ok(response.map_body(move |_, body| match body.size() {
        BodySize::None => body.boxed(),
        BodySize::Sized(length) if length <= MAX_UNWATCHED_BYTES => body.boxed(),
        BodySize::Sized(_) | BodySize::Stream => {
            watch_body(body.boxed(), timeout, connection).boxed()
        }
    }))
}

/// A body whose parts the client must read in time.
struct Watched {
    body: BoxBody,
    /// The rest of the body's last part, which is not sent yet.
    rest: Bytes,
    timeout: Duration,
    due: Rc<Due>,
}

/// When the part that was sent must have been read; `None` while the server makes the next one.
type Due = Cell<Option<Instant>>;

fn watch_body(body: BoxBody, timeout: Duration, connection: Connection) -> Watched {
    let due = Rc::new(Due::default());
    let watch = watch(Rc::downgrade(&due), timeout, connection);
    drop(actix_web::rt::spawn(watch));
    Watched { body, rest: Bytes::new(), timeout, due }
}

/// Cuts the connection when a part is not read in time. Ends with the body.
async fn watch(due: Weak<Due>, timeout: Duration, connection: Connection) {
    loop {
        sleep(timeout / 4).await;
        let Some(due) = due.upgrade() else { return };
        if due.get().is_some_and(|due| due < Instant::now()) {
            metrics::counter!(CUT).increment(1);
            connection.cut();
            return;
        }
    }
}

/// The counter of connections that were cut because a client read too slowly.
pub(crate) const CUT: &str = "headcount_readers_cut_total";

impl MessageBody for Watched {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        this.due.set(None);
        if this.rest.is_empty() {
            match Pin::new(&mut this.body).poll_next(cx) {
                Poll::Ready(Some(Ok(part))) => this.rest = part,
                other => return other,
            }
        }
        let part = this.rest.split_to(this.rest.len().min(MAX_PART));
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        let for_length = Duration::from_secs(length / BYTES_PER_SECOND);
        this.due.set(Some(Instant::now() + this.timeout + for_length));
        Poll::Ready(Some(Ok(part)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use actix_web::body;
    use futures_util::stream;

    use super::*;
    use crate::connections::Connections;
    use crate::settings::HttpSettings;

    fn connection() -> Connection {
        Connections::new(&HttpSettings::default()).enter(None, None).unwrap()
    }

    fn is_cut(connection: &Connection) -> bool {
        struct Deaf;
        impl std::task::Wake for Deaf {
            fn wake(self: Arc<Self>) {}
        }
        connection.is_cut(&Arc::new(Deaf).into())
    }

    fn parts() -> BoxBody {
        let parts = (0..3).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"part")));
        body::BodyStream::new(stream::iter(parts)).boxed()
    }

    #[actix_web::test]
    async fn f8_a_part_that_is_left_lying_cuts_the_connection() {
        let connection = connection();
        let timeout = Duration::from_millis(40);
        let mut body = watch_body(parts(), timeout, connection.clone());
        let first = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await;
        assert!(first.is_some_and(|part| part.is_ok()));
        assert!(!is_cut(&connection));
        while !is_cut(&connection) {
            sleep(timeout).await;
        }
    }

    #[actix_web::test]
    async fn a_large_part_is_handed_out_in_pieces_and_whole() {
        let large = Bytes::from(vec![7; 3 * MAX_PART + 1]);
        let mut body = watch_body(large.clone().boxed(), Duration::from_secs(60), connection());
        assert_eq!(body.size(), BodySize::Sized(u64::try_from(large.len()).unwrap()));
        let mut pieces = Vec::new();
        while let Some(piece) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            pieces.push(piece.unwrap());
        }
        assert_eq!(
            pieces.iter().map(Bytes::len).collect::<Vec<_>>(),
            [MAX_PART, MAX_PART, MAX_PART, 1]
        );
        assert_eq!(pieces.concat(), large);
    }

    #[actix_web::test]
    async fn an_answer_that_is_taken_or_that_the_server_owes_is_left_alone() {
        let connection = connection();
        let timeout = Duration::from_millis(20);
        let waits = stream::pending::<Result<Bytes, std::io::Error>>();
        let mut owed =
            watch_body(body::BodyStream::new(waits).boxed(), timeout, connection.clone());
        let mut asked = std::pin::pin!(poll_fn(|cx| Pin::new(&mut owed).poll_next(cx)));
        assert!(futures_util::FutureExt::now_or_never(asked.as_mut()).is_none());
        let mut taken = watch_body(parts(), timeout, connection.clone());
        while poll_fn(|cx| Pin::new(&mut taken).poll_next(cx)).await.is_some() {}
        sleep(timeout * 8).await;
        assert!(!is_cut(&connection));
    }
}
