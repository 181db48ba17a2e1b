//! Who is served while others take long: a provider whose scans last until they are released.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::rt;
use headcount_core::work::Halt;
use headcount_http_api::{HttpSettings, LaneSizes, WriteConnections};

use support::{Server, until};

const SCAN: &str = "/scim/v2/Users?filter=nickName%20eq%20%22x%22";

/// Turns as of a small SQLite: one for scans, two more for pages.
fn small() -> HttpSettings {
    HttpSettings { lanes: LaneSizes::of_pool(4, WriteConnections::Own), ..HttpSettings::default() }
}

#[test]
fn f7_s1_scans_of_one_tenant_keep_no_point_read_of_another_waiting() {
    rt::System::new().block_on(async {
        let server = Server::start(small()).await;
        let (a, b) = (server.token(1), server.token(2));
        let user = server.create(&b, "someone").await;
        let scans: Vec<_> = (0..40).map(|_| server.spawn(&a, SCAN)).collect();
        until(|| server.scans().len() == 1).await;
        for path in [
            format!("/scim/v2/Users/{user}"),
            "/scim/v2/Users?filter=userName%20eq%20%22someone%22".to_owned(),
            "/scim/v2/Users?filter=active%20eq%20true".to_owned(),
        ] {
            assert_eq!(server.get(&b, &path).await, StatusCode::OK, "{path}");
        }
        // Tenant A's own cheap requests are served as well.
        assert_eq!(server.get(&a, "/scim/v2/Users?filter=id%20eq%20%22x%22").await, StatusCode::OK);
        assert_eq!(server.scans().len(), 1, "one scan at a time");
        server.release_all();
        for scan in scans {
            assert_eq!(scan.await.unwrap(), StatusCode::OK);
        }
    });
}

#[test]
fn decision_49_the_next_scan_is_of_the_tenant_with_fewer() {
    rt::System::new().block_on(async {
        let server = Server::start(small()).await;
        let (a, other, b) = (server.token(1), server.token(1), server.token(2));
        let mut asked: Vec<_> = (0..3).map(|_| server.spawn(&a, SCAN)).collect();
        until(|| server.scans().len() == 1 && server.waiting("scan") == 2).await;
        asked.extend([server.spawn(&other, SCAN), server.spawn(&b, SCAN)]);
        until(|| server.waiting("scan") == 4).await;
        for done in 1..5 {
            server.release_one();
            until(|| server.scans().len() == done + 1).await;
        }
        server.release_one();
        assert_eq!(server.scans(), [1, 2, 1, 1, 1], "tenants in the order of their turns");
        for one in asked {
            assert_eq!(one.await.unwrap(), StatusCode::OK);
        }
        let order = server.answered();
        let at = |name: &str| order.iter().position(|answered| *answered == name);
        assert_eq!(at(&other.name), Some(2), "before the rest of the first token: {order:?}");
    });
}

#[test]
fn decision_48_a_request_ends_with_its_deadline_and_its_thread_soon_after() {
    rt::System::new().block_on(async {
        let request_time = Duration::from_millis(200);
        let server = Server::start(HttpSettings { request_time, ..small() }).await;
        let a = server.token(1);
        let answer = server.answer(&a, SCAN).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        assert!(after.is_some_and(|after| after.parse::<u32>().is_ok()), "{after:?}");
        until(|| server.halts() == [Halt::Deadline]).await;
        until(|| server.api.snapshot().abandoned == 0).await;
        // Its turn is free again.
        until(|| server.at_work("scan") == 0).await;
    });
}

#[test]
fn waiting_counts_for_the_deadline_too() {
    rt::System::new().block_on(async {
        let request_time = Duration::from_millis(200);
        let server = Server::start(HttpSettings { request_time, ..small() }).await;
        server.ignore_halts();
        let a = server.token(1);
        let first = server.spawn(&a, SCAN);
        until(|| server.scans().len() == 1).await;
        assert_eq!(server.get(&a, SCAN).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(server.scans().len(), 1, "the second never began");
        assert_eq!(first.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
        // The first one's thread still holds its turn, and is counted.
        assert_eq!((server.at_work("scan"), server.api.snapshot().abandoned), (1, 1));
        server.release_all();
        until(|| server.at_work("scan") == 0 && server.api.snapshot().abandoned == 0).await;
    });
}

#[test]
fn s1_a_client_that_hangs_up_stops_its_thread() {
    rt::System::new().block_on(async {
        let server = Server::start(small()).await;
        let a = server.token(1);
        let scan = server.spawn(&a, SCAN);
        until(|| server.scans().len() == 1).await;
        scan.abort();
        until(|| server.halts() == [Halt::Gone]).await;
        until(|| server.at_work("scan") == 0 && server.api.snapshot().abandoned == 0).await;
    });
}

#[test]
fn strangers_wait_on_the_lane_of_proofs_alone() {
    rt::System::new().block_on(async {
        let server = Server::start(small()).await;
        let (a, revoked) = (server.token(1), server.new_token(1));
        server.revoke(&revoked);
        let scan = server.spawn(&a, SCAN);
        until(|| server.scans().len() == 1).await;
        // A stranger that asks for a scan is refused without waiting for one.
        assert_eq!(server.get(&revoked, SCAN).await, StatusCode::UNAUTHORIZED);
        assert_eq!(server.waiting("scan"), 0);
        server.release_all();
        assert_eq!(scan.await.unwrap(), StatusCode::OK);
    });
}
