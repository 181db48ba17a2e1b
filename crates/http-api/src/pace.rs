//! How slowly an answer may be taken: a client that leaves a part of it lying is not waited for.

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

/// Answers up to this size fit into the buffers on their way, and are not watched.
const UNWATCHED: u64 = 64 * 1024;
/// The largest part that is handed out at once: of a larger one nobody could tell how far it was taken.
const PART: usize = 32 * 1024;
/// How many bytes more earn a second more.
const BYTES_PER_SECOND: u64 = 4 * 1024;

/// The middleware that watches how large answers and streams are taken.
///
/// # Errors
///
/// Those of the handler.
pub async fn pace(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let patience = request.app_data::<Data<Api>>().map(|api| api.settings.reader_time);
    let connection = request.conn_data::<Connection>().cloned();
    let response = next.call(request).await?;
    let (Some(patience), Some(connection)) = (patience, connection) else {
        return Ok(response.map_into_boxed_body());
    };
    Ok(response.map_body(move |_, body| match body.size() {
        BodySize::None => body.boxed(),
        BodySize::Sized(length) if length <= UNWATCHED => body.boxed(),
        BodySize::Sized(_) | BodySize::Stream => {
            watched(body.boxed(), patience, connection).boxed()
        }
    }))
}

/// A body whose parts have to be taken in time.
struct Watched {
    body: BoxBody,
    /// What the body has given and is not handed out yet.
    rest: Bytes,
    patience: Duration,
    due: Rc<Due>,
}

/// Until when the part that was handed out has to be taken; none while the server owes the next.
type Due = Cell<Option<Instant>>;

fn watched(body: BoxBody, patience: Duration, connection: Connection) -> Watched {
    let due = Rc::new(Due::default());
    let watch = watch(Rc::downgrade(&due), patience, connection);
    drop(actix_web::rt::spawn(watch));
    Watched { body, rest: Bytes::new(), patience, due }
}

/// Cuts the connection when a part is not taken in time; ends with the body.
async fn watch(due: Weak<Due>, patience: Duration, connection: Connection) {
    loop {
        sleep(patience / 4).await;
        let Some(due) = due.upgrade() else { return };
        if due.get().is_some_and(|due| due < Instant::now()) {
            metrics::counter!(CUT).increment(1);
            connection.cut();
            return;
        }
    }
}

/// The counter of connections that were cut because an answer was taken too slowly.
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
                Poll::Ready(Some(Ok(given))) => this.rest = given,
                other => return other,
            }
        }
        let part = this.rest.split_to(this.rest.len().min(PART));
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        let earned = Duration::from_secs(length / BYTES_PER_SECOND);
        this.due.set(Some(Instant::now() + this.patience + earned));
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
        let patience = Duration::from_millis(40);
        let mut body = watched(parts(), patience, connection.clone());
        let first = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await;
        assert!(first.is_some_and(|part| part.is_ok()));
        assert!(!is_cut(&connection));
        while !is_cut(&connection) {
            sleep(patience).await;
        }
    }

    #[actix_web::test]
    async fn a_large_part_is_handed_out_in_pieces_and_whole() {
        let large = Bytes::from(vec![7; 3 * PART + 1]);
        let mut body = watched(large.clone().boxed(), Duration::from_secs(60), connection());
        assert_eq!(body.size(), BodySize::Sized(u64::try_from(large.len()).unwrap()));
        let mut pieces = Vec::new();
        while let Some(piece) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            pieces.push(piece.unwrap());
        }
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [PART, PART, PART, 1]);
        assert_eq!(pieces.concat(), large);
    }

    #[actix_web::test]
    async fn an_answer_that_is_taken_or_that_the_server_owes_is_left_alone() {
        let connection = connection();
        let patience = Duration::from_millis(20);
        let waits = stream::pending::<Result<Bytes, std::io::Error>>();
        let mut owed = watched(body::BodyStream::new(waits).boxed(), patience, connection.clone());
        let mut asked = std::pin::pin!(poll_fn(|cx| Pin::new(&mut owed).poll_next(cx)));
        assert!(futures_util::FutureExt::now_or_never(asked.as_mut()).is_none());
        let mut taken = watched(parts(), patience, connection.clone());
        while poll_fn(|cx| Pin::new(&mut taken).poll_next(cx)).await.is_some() {}
        sleep(patience * 8).await;
        assert!(!is_cut(&connection));
    }
}
