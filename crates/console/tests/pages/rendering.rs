//! What pages show: headers, escaped texts, searches, the log.

use headcount_token_admin::accounts::Role;
use serde_json::{Value, json};

use crate::support::{DEFAULT, TestConsole, operator, request};

const HOSTILE: &str = "<script>alert(\"1\")</script>";

#[actix_web::test]
async fn a_page_runs_only_scripts_of_this_server() {
    let console = TestConsole::new().await;
    let page = console.visitor().get("/console/login").await;
    page.header(
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'",
    );
}

#[actix_web::test]
async fn a_page_is_not_cached() {
    let console = TestConsole::new().await;
    console.visitor().get("/console/login").await.header("cache-control", "no-store");
}

#[actix_web::test]
async fn an_asset_is_cached_until_its_address_changes() {
    let console = TestConsole::new().await;
    let asset = console.visitor().get("/console/assets/console.css").await;
    asset.status(200).header("cache-control", "public, max-age=31536000, immutable");
}

#[actix_web::test]
async fn a_hostile_name_is_a_text_on_every_page() {
    let console = TestConsole::new().await;
    let id = console.create("User", json!({"userName": HOSTILE, "displayName": HOSTILE}));
    console.log.add(request(HOSTILE, 400));
    let owner = console.signed_in_as(Role::Owner);
    let query = "%3Cscript%3Ealert(%221%22)%3C/script%3E";
    for path in [
        "/console".to_owned(),
        "/console/resources/Users".to_owned(),
        format!("/console/resources/Users/{id}"),
        format!("/console/resources/Users?q={query}"),
        format!("/console/explain?name={query}"),
        format!("/console/log?name={query}"),
        "/console/log".to_owned(),
        "/console/log/1".to_owned(),
        format!("/console/audit?by={query}"),
        format!("/console/tokens?tenant={query}"),
    ] {
        owner.get(&path).await.hides("<script>alert");
    }
    for path in [
        "/console/resources/Users".to_owned(),
        format!("/console/resources/Users/{id}"),
        "/console/log".to_owned(),
    ] {
        owner.get(&path).await.status(200).shows("&#60;script&#62;");
    }
    let login = console.visitor().get(&format!("/console/login?next={query}")).await;
    login.status(200).hides("<script>alert");
}

#[actix_web::test]
async fn a_hostile_token_name_is_a_text() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let form = [("name", HOSTILE), ("days", "1"), ("scope", "scim:read")];
    admin.post_and_follow("/console/tokens", &form).await.hides("<script>alert");
    admin.get("/console/tokens").await.shows("&#60;script&#62;").hides("<script>alert");
}

#[actix_web::test]
async fn a_text_finds_users_by_a_part_of_their_name() {
    let console = TestConsole::new().await;
    console.user("jane@example.com");
    console.user("omar@example.com");
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get("/console/resources/Users?q=jan").await;
    page.status(200).shows("jane@example.com").hides("omar@example.com").shows("1 in all");
}

#[actix_web::test]
async fn a_filter_with_an_error_is_shown_up_to_the_error() {
    let console = TestConsole::new().await;
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get("/console/resources/Users?q=userName%20eq%20%22a%22%20and").await;
    page.status(400).shows("id=\"q-error\"").shows("<mark>");
}

#[actix_web::test]
async fn a_list_goes_on_behind_its_cursor() {
    let console = TestConsole::new().await;
    for number in 0..51 {
        console.user(&format!("user-{number:02}"));
    }
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get("/console/resources/Users").await;
    page.shows("51 in all").hides("user-50");
    let (_, rest) = page.body.split_once("<a href=\"/console/resources/Users?cursor=").unwrap();
    let cursor = rest.split('"').next().unwrap();
    let next = auditor.get(&format!("/console/resources/Users?cursor={cursor}")).await;
    next.shows("user-50").hides("user-49");
}

#[actix_web::test]
async fn a_group_lists_its_members() {
    let console = TestConsole::new().await;
    let jane = console.user("jane");
    let members = json!([{"value": jane}]);
    let id = console.create("Group", json!({"displayName": "Research", "members": members}));
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get(&format!("/console/resources/Groups/{id}")).await;
    page.shows(&format!("<a href=\"/console/resources/Users/{jane}\">jane</a>"));
}

#[actix_web::test]
async fn a_user_lists_its_groups() {
    let console = TestConsole::new().await;
    let jane = console.user("jane");
    let members = json!([{"value": jane}]);
    let id = console.create("Group", json!({"displayName": "Research", "members": members}));
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get(&format!("/console/resources/Users/{jane}")).await;
    page.shows(&format!("<a href=\"/console/resources/Groups/{id}\">Research</a>"));
}

#[actix_web::test]
async fn a_refused_request_is_in_the_log_with_its_reason() {
    let console = TestConsole::new().await;
    let mut record = request("jane", 409);
    record.reason = Some("userName is taken.".to_owned());
    console.log.add(record);
    console.log.add(request("omar", 201));
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get("/console/log?status=failed").await;
    page.shows("userName is taken.").hides("omar");
}

#[actix_web::test]
async fn the_log_gives_its_script_what_is_new() {
    let console = TestConsole::new().await;
    let first = console.log.add(request("jane", 201));
    console.log.add(request("omar", 201));
    let auditor = console.signed_in_as(Role::Auditor);
    let tail = auditor.get(&format!("/console/log/tail?after={first}&live=1")).await;
    let tail: Value = serde_json::from_str(&tail.body).unwrap();
    assert_eq!(tail["lines"].as_array().unwrap().len(), 1, "{tail}");
    assert_eq!(tail["lines"][0]["name"], "omar");
}

#[actix_web::test]
async fn explain_links_to_a_user_who_is_here() {
    let console = TestConsole::new().await;
    let id = console.user("jane");
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get("/console/explain?name=jane").await;
    page.shows("is here").shows(&format!("href=\"/console/resources/Users/{id}\""));
}

#[actix_web::test]
async fn the_audit_names_who_changed_what() {
    let console = TestConsole::new().await;
    let id = console.user("jane");
    for recorded in console.console.changes.newest_changes(DEFAULT, 1).unwrap() {
        console.activity.add(DEFAULT, recorded);
    }
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get("/console/audit").await;
    page.shows("command line").shows(&format!("href=\"/console/resources/Users/{id}\""));
}

#[actix_web::test]
async fn a_tenant_that_is_switched_off_needs_attention() {
    let console = TestConsole::new().await;
    let change = headcount_token_admin::TenantChange { enabled: Some(false), quirks: None };
    console.console.tenants.change(&operator(), "default", change).unwrap();
    let auditor = console.signed_in_as(Role::Auditor);
    auditor.get("/console").await.shows("This tenant is disabled");
}

#[actix_web::test]
async fn ux_3_a_name_with_a_word_of_filters_is_looked_for_with_a_link_to_the_other_reading() {
    let console = TestConsole::new().await;
    console.create("User", json!({"userName": "anne", "displayName": "Anne le Roux"}));
    console.create("Group", json!({"displayName": "People and Culture"}));
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get("/console/resources/Users?q=Anne%20le%20Roux").await;
    page.status(200).shows(">anne<").shows("Read it as a filter instead");
    let page = auditor.get("/console/resources/Users?q=Anne%20le%20Roux&read=filter").await;
    page.status(400).shows("id=\"q-error\"").shows("Look for these words instead");
    let page = auditor.get("/console/resources/Groups?q=People%20and%20Culture").await;
    page.status(200).shows("1 in all").shows("read=filter");
    let page = auditor.get("/console/resources/Users?q=userName%20eq%20%22anne%22").await;
    page.status(200).shows("1 in all").hides("Look for these words");
    auditor.get("/console/resources/Users?q=anne").await.hides("instead");
}

#[actix_web::test]
async fn ux_20_what_is_not_here_was_not_refused() {
    let console = TestConsole::new().await;
    let gone = |method: &str| {
        let mut record = request("jane", 404);
        record.method = method.to_owned();
        record.path = "/Users/7".to_owned();
        record.kind = Some(headcount_core::ids::Kind::new("User"));
        record.reason = Some("there is no such user here".to_owned());
        record
    };
    console.log.add(gone("DELETE"));
    console.log.add(gone("GET"));
    let auditor = console.signed_in_as(Role::Auditor);
    auditor.get("/console").await.shows("No request was refused.");
    auditor.get("/console/log").await.shows("not here").hides("class=\"bad\"");
    console.log.add(gone("PATCH"));
    auditor.get("/console").await.hides("No request was refused.").shows("PATCH /Users/7");
}

#[actix_web::test]
async fn ux_21_a_deleted_user_has_a_page_that_says_so() {
    let console = TestConsole::new().await;
    let id = console.user("jane@example.com");
    console.delete("User", &id);
    let auditor = console.signed_in_as(Role::Auditor);
    let path = format!("/console/resources/Users/{id}");
    let page = auditor.get(&path).await;
    page.status(200).shows("jane@example.com").shows("was deleted at").shows("command line");
    auditor.get("/console/resources/Users/never").await.status(404);
    auditor.get(&format!("/console/resources/Groups/{id}")).await.status(404);
}

#[actix_web::test]
async fn ux_19_the_advice_about_equal_groups_leads_to_the_switch_of_the_tenant() {
    let console = TestConsole::new().await;
    let mut record = request("Sales", 409);
    record.kind = Some(headcount_core::ids::Kind::new("Group"));
    record.scim_type = Some("uniqueness".to_owned());
    record.field = Some("displayName".to_owned());
    let seq = console.log.add(record);
    let auditor = console.signed_in_as(Role::Auditor);
    for path in ["/console/log".to_owned(), format!("/console/log/{seq}")] {
        let page = auditor.get(&path).await;
        page.shows("headcount tenant set default --quirks all,-unique-group-names");
        page.shows("href=\"/console/settings?tenant=default#switches\"");
    }
}

#[actix_web::test]
async fn ux_8_who_is_here_but_was_refused_later_is_shown_in_amber_with_one_advice() {
    let console = TestConsole::new().await;
    console.create("User", json!({"userName": "jane", "externalId": "jane-1"}));
    let mut record = request("jane", 409);
    record.kind = Some(headcount_core::ids::Kind::new("User"));
    record.scim_type = Some("uniqueness".to_owned());
    record.field = Some("userName".to_owned());
    record.body = Some(r#"{"userName":"jane","externalId":"jane-dupe"}"#.to_owned());
    console.log.add(record);
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get("/console/explain?name=jane").await;
    page.shows("warn-note").hides("good-note").shows("here, but a later write was refused");
    page.shows("another externalId, &#34;jane-dupe&#34; instead of &#34;jane-1&#34;");
    assert_eq!(page.body.matches("Another user has this userName").count(), 1);
}

#[actix_web::test]
async fn ux_15a_after_a_rotation_the_notice_is_about_the_successor() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let form = [("name", "my-idp"), ("days", "90"), ("scope", "scim:read")];
    let made = admin.post("/console/tokens", &form).await;
    let page = made.header_text("location").unwrap().split("/secret").next().unwrap().to_owned();
    admin.post(&page, &[("act", "rotate"), ("hours", "24")]).await.status(303);
    let overview = admin.get("/console").await;
    // How long it still works depends on what has passed since.
    overview.shows("The old token &#34;my-idp&#34; ends in ");
    overview.shows("; its successor has not been used yet");
    overview.hides("Rotate");
    let tokens = &console.console.api.tokens;
    let all = tokens.list(&operator(), None).unwrap();
    let new = all.iter().find(|token| token.replaces.is_some()).unwrap();
    tokens.record_use(new, None, None);
    let used = || {
        let all = tokens.list(&operator(), None).unwrap();
        all.iter().any(|token| token.replaces.is_some() && token.last_used.is_some())
    };
    while !used() {
        std::thread::yield_now();
    }
    admin.get("/console").await.hides("my-idp&#34; ends").hides("Needs attention");
}

#[actix_web::test]
async fn ux_22_another_tenant_is_shown_on_the_same_page_or_its_list() {
    let console = TestConsole::new().await;
    console.console.tenants.create(&operator(), "second", Default::default()).unwrap();
    let id = console.user("jane");
    let auditor = console.signed_in_as(Role::Auditor);
    for (page, form) in [
        (format!("/console/resources/Users/{id}"), "action=\"/console/resources/Users\""),
        ("/console/resources/Groups".to_owned(), "action=\"/console/resources/Groups\""),
        ("/console/connect?idp=okta".to_owned(), "name=\"idp\" value=\"okta\""),
        ("/console/audit".to_owned(), "action=\"/console/audit\""),
    ] {
        auditor
            .get(&page)
            .await
            .status(200)
            .shows(form)
            .shows("<label for=\"tenant\">Tenant</label>");
    }
    let page = auditor.get("/console/resources/Users?tenant=second").await;
    page.status(200).shows("You changed to <strong>second</strong>");
    auditor.get("/console/resources/Users?tenant=default").await.hides("You changed to");
}
