//! Connections, from the accepted socket to HTTP.
//!
//! This does what actix-web's own server does, with three additions: a connection is counted before it is used, so
//! that one address cannot have all of them; it can be cut from outside, so that the server need not wait
//! for a client that does not read its response; and heads that two parties could read differently are refused.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol, Request, Response};
use actix_service::{IntoServiceFactory, ServiceFactoryExt as _, map_config};
use actix_tls::accept::TlsError;
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server, Service, ServiceFactory, fn_service};
use actix_web::rt::net::{ActixStream, Ready, TcpStream};
use headcount_http_api::{Connection, Connections};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::heads::Guarded;

mod heads;

/// Idle connections are kept longer than identity providers keep theirs (HTP-023).
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// A request's head has to arrive within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that a client may send on one HTTP/2 stream before the server reads them.
const STREAM_WINDOW: u32 = 128 * 1024;
/// Bytes that a client may send on one HTTP/2 connection before the server reads them.
const CONNECTION_WINDOW: u32 = 512 * 1024;

/// How many threads serve, and how they end.
pub(crate) struct Threads {
    pub(crate) workers: usize,
    /// For each worker: one worker may get the work of all lanes.
    pub(crate) blocking: usize,
    pub(crate) shutdown_seconds: u64,
}

/// A socket that is counted, and ends when its connection is cut.
pub(crate) struct CountedSocket {
    socket: TcpStream,
    connection: Connection,
}

/// An application over connections of one type.
macro_rules! http {
    ($stops:expr, $application:expr, $connection:expr) => {{
        let stops = $stops.clone();
        let application = $application().into_factory();
        let application =
            application.map_err(|error| Into::<actix_web::Error>::into(error).error_response());
        HttpService::build()
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEAD_TIMEOUT)
            .h2_initial_window_size(STREAM_WINDOW)
            .h2_initial_connection_window_size(CONNECTION_WINDOW)
            .graceful_shutdown_signal(move || {
                let stops = stops.clone();
                async move { stops.notified().await }
            })
            .on_connect_ext(move |io, data| {
                data.insert::<Connection>($connection(io));
            })
            .finish(map_config(application, |()| AppConfig::default()))
    }};
}

fn plain_connection(io: &Guarded<CountedSocket>) -> Connection {
    io.io.connection.clone()
}

fn tls_connection(io: &Guarded<TlsStream<CountedSocket>>) -> Connection {
    io.io.get_ref().0.connection.clone()
}

/// Makes a server for an application; it runs when it is awaited.
pub(crate) fn serve<F, I, S, B>(
    listener: TcpListener,
    tls: Option<rustls::ServerConfig>,
    threads: &Threads,
    connections: Arc<Connections>,
    application: F,
) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let server = Server::build()
        .workers(threads.workers)
        .worker_max_blocking_threads(threads.blocking)
        .shutdown_timeout(threads.shutdown_seconds);
    let stops = server.graceful_shutdown_signal();
    let server = match tls {
        None => server.listen("http", listener, move || {
            let connections = Arc::clone(&connections);
            let enter = fn_service(move |socket: TcpStream| {
                let entered = enter(socket, &connections).map_err(DispatchError::Io);
                std::future::ready(entered.map(|io| {
                    let peer = io.socket.peer_addr().ok();
                    (Guarded::http1(io), Protocol::Http1, peer)
                }))
            });
            enter.and_then(http!(stops, application, plain_connection))
        })?,
        Some(mut tls) => {
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            server.listen("https", listener, move || {
                let connections = Arc::clone(&connections);
                let enter = fn_service(move |socket: TcpStream| {
                    let entered = enter(socket, &connections).map_err(TlsError::Tls);
                    std::future::ready(entered)
                });
                let acceptor = Acceptor::new(tls.clone()).map_init_err(drop);
                let shake = acceptor.map_err(TlsError::into_service_error);
                let protocol = fn_service(|io: TlsStream<CountedSocket>| {
                    let (socket, session) = io.get_ref();
                    let peer = socket.socket.peer_addr().ok();
                    let (io, protocol) = match session.alpn_protocol() {
                        Some(b"h2") => (Guarded::http2(io), Protocol::Http2),
                        _ => (Guarded::http1(io), Protocol::Http1),
                    };
                    std::future::ready(Ok((io, protocol, peer)))
                });
                let http = http!(stops, application, tls_connection).map_err(TlsError::Service);
                enter.and_then(shake).and_then(protocol).and_then(http)
            })?
        }
    };
    Ok(server.run())
}

/// Counts a connection, before a byte is read from it.
fn enter(socket: TcpStream, connections: &Arc<Connections>) -> io::Result<CountedSocket> {
    let peer = socket.peer_addr().map(|peer| peer.ip()).ok();
    let entered = connections.enter(peer, socket.local_addr().ok());
    let connection =
        entered.ok_or_else(|| io::Error::other("this address has too many connections"))?;
    // The last part of a streamed body would wait for the client to acknowledge the one before, which
    // clients do 40 ms later.
    socket.set_nodelay(true)?;
    Ok(CountedSocket { socket, connection })
}

impl CountedSocket {
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        match self.connection.is_cut(cx.waker()) {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }
}

impl AsyncRead for CountedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_read(cx, buffer);
        // One that waits has to know when it waits in vain.
        if polled.is_pending() {
            self.check(cx)?;
        }
        polled
    }
}

impl AsyncWrite for CountedSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(cx, bytes);
        if polled.is_pending() {
            self.check(cx)?;
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        if polled.is_pending() {
            self.check(cx)?;
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl ActixStream for CountedSocket {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(&self.socket, cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(&self.socket, cx)
    }
}
