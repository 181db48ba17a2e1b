//! Style, script and icon, which are part of the binary.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

const CSS: &str = include_str!("../assets/console.css");
const JS: &str = include_str!("../assets/console.js");
const ICON: &str = include_str!("../assets/icon.svg");

/// Returns what pages add to the addresses of assets, so that browsers cache them until they change: their
/// FNV-1a hash.
pub(crate) fn version() -> String {
    let hash = CSS
        .bytes()
        .chain(JS.bytes())
        .chain(ICON.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{hash:016x}")
}

/// Serves an asset.
pub(crate) async fn serve(request: HttpRequest) -> HttpResponse {
    let (media, text) = match request.match_info().query("file") {
        "console.css" => ("text/css; charset=utf-8", CSS),
        "console.js" => ("text/javascript; charset=utf-8", JS),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return HttpResponse::NotFound().finish(),
    };
    HttpResponse::Ok()
        .content_type(media)
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_stay_small_and_load_nothing_from_elsewhere() {
        assert!(CSS.len() <= 15 * 1024, "{} bytes of CSS", CSS.len());
        assert!(JS.lines().count() <= 300, "{} lines of JavaScript", JS.lines().count());
        for forbidden in ["@import", "url(", "//", "expression("] {
            assert!(!CSS.contains(forbidden), "{forbidden}");
        }
        for forbidden in ["://", "eval(", "innerHTML", "outerHTML", "insertAdjacent", "import("] {
            assert!(!JS.contains(forbidden), "{forbidden}");
        }
    }
}
