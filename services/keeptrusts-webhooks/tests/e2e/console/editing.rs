//! Two people edit the same endpoint.

use keeptrusts_webhooks_testkit::browser::Role;

use crate::console::fixture::{ConsoleFixture, STATUS};

#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_admins_sees_the_first_ones_changes_and_loses_no_input() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    let id = fixture.endpoint("siem", "/hook", &["policy.block", "policy.violation"]).await;
    let path = format!("/webhooks/{id}/edit");

    let second = browser.window().await;
    fixture.open(&path).await;
    browser.fill("Name", "siem of the second admin").await;
    browser.tick("user.invited", true).await;

    browser.open_window().await;
    fixture.open(&path).await;
    browser.fill("Name", "siem of the first admin").await;
    browser.fill("Description", "changed by the first admin").await;
    browser.click(Role::Button, "Save").await;
    browser.see(Role::Heading, "siem of the first admin").await;

    browser.go_to(&second).await;
    browser.click(Role::Button, "Save").await;
    browser.text_when("[role=alert]", "says so", |text| !text.is_empty()).await;
    assert_eq!(browser.value("Name").await, "siem of the second admin");
    assert!(browser.is_ticked("user.invited").await, "what was ticked stays");
    assert!(browser.is_ticked("policy.block").await);
    let page = browser.text("main").await;
    assert!(page.contains("siem of the first admin"), "the current values are shown: {page}");
    let endpoint = fixture.endpoints().await.remove(0);
    assert_eq!(endpoint.display_name, "siem of the first admin", "nothing was overwritten");

    browser.click(Role::Button, "Save").await;
    browser.see(Role::Heading, "siem of the second admin").await;
    assert_eq!(browser.text(STATUS).await, "Saved.");
    let endpoint = fixture.endpoints().await.remove(0);
    assert_eq!(endpoint.display_name, "siem of the second admin");
    assert_eq!(endpoint.event_types, ["policy.violation", "policy.block", "user.invited"]);
    fixture.assert_no_complaints_but_of_status(&[409]).await;
}
