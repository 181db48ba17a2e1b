//! Floor (a): an actix-web server whose answers are constant bytes of a given length.

use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use bytes::Bytes;

/// The longest answer.
const LONGEST: usize = 16 * 1024 * 1024;

/// Serves `/bytes/LENGTH` until the process ends; says on standard output where.
pub(crate) fn serve() -> anyhow::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    crate::output::line(&listener.local_addr()?.to_string());
    let body = Bytes::from(vec![b'x'; LONGEST]);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(body.clone()))
            .route("/bytes/{length}", web::route().to(constant))
    });
    let server = server.workers(workers).listen(listener)?;
    actix_web::rt::System::new().block_on(server.run())?;
    Ok(())
}

async fn constant(length: web::Path<usize>, body: Data<Bytes>, _sent: Bytes) -> HttpResponse {
    let answer = body.slice(..(*length).min(LONGEST));
    HttpResponse::Ok().content_type("application/scim+json").body(answer)
}
