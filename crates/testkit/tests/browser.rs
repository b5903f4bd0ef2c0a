//! The browser: finding elements, console messages, and its end with the test.

use std::fs;
use std::path::Path;

use keeptrusts_webhooks_testkit::browser::{Browser, ColorScheme, Role, Size};
use serde_json::json;
use tempfile::TempDir;

const PAGE: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>Test</title>
<meta name="viewport" content="width=device-width">
<h1>Orders</h1>
<form>
<label for="n">Name</label><input id="n" value="old">
<label>Kind <select><option>Small<option>Large</select></label>
<label>When <input type="datetime-local" id="when"></label>
<label><input type="checkbox" id="c"> Express</label>
<input type="hidden" name="Name">
</form>
<details><summary aria-label="Actions for it">…</summary>
<div role="menu"><button role="menuitem">Edit</button></div></details>
<p id="scripts">no scripts</p><p id="zone"></p>
<p id="contrast" style="color: #aaa; background: #fff">pale</p>
<table id="t"><tbody></tbody></table>
<script>
document.querySelector('#scripts').textContent = 'scripts run';
document.querySelector('#zone').textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
document.querySelector('[role=menuitem]').onclick = () => {
  setTimeout(() => {
    document.querySelector('tbody').innerHTML = '<tr><td>1<td><b>two</b>\n three';
    console.error('an order was edited');
  }, 200);
};
</script>"#;

/// A page in a file of its own.
fn page(folder: &TempDir, name: &str, content: &str) -> String {
    let path = folder.path().join(name);
    fs::write(&path, content).expect("a temporary file can be written");
    format!("file://{}", path.display())
}

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder can be made")
}

#[tokio::test]
async fn elements_are_found_by_role_and_name_and_waited_for() {
    let folder = folder();
    let browser = Browser::start().await;
    browser.open(&page(&folder, "page.html", PAGE)).await;

    browser.see(Role::Heading, "Orders").await;
    assert!(!browser.shows(Role::Button, "Orders").await);
    browser.fill("Name", "new").await;
    assert_eq!(browser.value("Name").await, "new");
    browser.choose("Kind", "Large").await;
    assert_eq!(browser.value("Kind").await, "Large");
    browser.set("When", "2026-04-23T10:30").await;
    assert_eq!(browser.value("When").await, "2026-04-23T10:30");
    browser.tick("Express", true).await;
    browser.tick("Express", true).await;
    assert!(browser.is_ticked("Express").await);

    assert!(!browser.shows(Role::MenuItem, "Edit").await, "the menu is closed");
    browser.click(Role::Button, "Actions for it").await;
    browser.within("details").click(Role::MenuItem, "Edit").await;
    let rows = browser.within("#t").rows_when("tr", "has a row", |rows| !rows.is_empty()).await;
    assert_eq!(rows, [["1", "two three"]]);

    let complaints = browser.console_messages().await;
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert_eq!(complaints[0].source, "console-api");
    assert!(complaints[0].message.contains("an order was edited"), "{complaints:?}");
    assert_eq!(browser.console_messages().await, []);
}

#[tokio::test]
async fn a_test_sets_the_viewport_the_colour_scheme_and_the_time_zone() {
    let folder = folder();
    let url = page(&folder, "page.html", PAGE);
    let browser = Browser::start().await;
    browser.set_time_zone("Asia/Tokyo").await;
    browser.open(&url).await;
    assert_eq!(browser.text("#zone").await, "Asia/Tokyo");

    for (size, colours) in [(Size::PHONE, ColorScheme::Dark), (Size::DESKTOP, ColorScheme::Light)] {
        browser.resize(size).await;
        browser.set_color_scheme(colours).await;
        let script = "return [innerWidth, document.documentElement.clientWidth, innerHeight,
            matchMedia('(prefers-color-scheme: ' + arguments[0] + ')').matches];";
        let seen = browser.run(script, json!([colours.name()])).await;
        assert_eq!(seen, json!([size.width, size.width, size.height, true]));
    }

    let violations = browser.accessibility_violations().await;
    let rules: Vec<_> = violations.iter().map(|violation| violation.rule.as_str()).collect();
    assert_eq!(rules, ["color-contrast"], "{violations:#?}");

    let picture = browser.screenshot("testkit").await;
    let png = fs::read(&picture).expect("the picture was written");
    assert_eq!(&png[..4], b"\x89PNG");
}

#[tokio::test]
async fn without_scripts_a_page_can_still_be_read_and_used() {
    let folder = folder();
    let url = page(&folder, "page.html", PAGE);
    let browser = Browser::start().await;
    let first = browser.window().await;
    browser.open_window().await;
    browser.disable_scripts().await;
    browser.open(&url).await;
    assert_eq!(browser.text("#scripts").await, "no scripts");
    browser.fill("Name", "new").await;
    assert_eq!(browser.value("Name").await, "new");
    browser.choose("Kind", "Large").await;
    browser.tick("Express", true).await;
    assert!(browser.is_ticked("Express").await);
    browser.click(Role::Button, "Actions for it").await;
    browser.see(Role::MenuItem, "Edit").await;
    assert_eq!(browser.rows("tr").await, Vec::<Vec<String>>::new());

    browser.go_to(&first).await;
    browser.open(&url).await;
    assert_eq!(browser.text("#scripts").await, "scripts run", "in the other window they run");
}

/// Submits itself to itself, a moment after its button was clicked.
const FORM: &str = r##"<!doctype html><html lang="en"><title>Form</title>
<form><label>Turn <input name="turn" value="0"></label><button>Send</button></form>
<form id="inline"><button>Stay</button></form><a href="#there">There</a><p id="there">0</p>
<script>
const turn = new URLSearchParams(location.search).get('turn');
document.querySelector('#there').textContent = turn ?? 'none';
document.querySelector('#inline').onsubmit = (event) => event.preventDefault();
const end = Date.now() + 50;
while (Date.now() < end);
</script>"##;

#[tokio::test]
async fn after_a_click_the_new_page_is_read() {
    let folder = folder();
    let url = page(&folder, "form.html", FORM);
    let browser = Browser::start().await;
    for scripts in [true, false] {
        if !scripts {
            browser.disable_scripts().await;
        }
        browser.open(&url).await;
        for turn in 1..=10 {
            browser.fill("Turn", &turn.to_string()).await;
            if turn % 2 == 0 {
                browser.press_enter("Turn").await;
            } else {
                browser.click(Role::Button, "Send").await;
            }
            assert_eq!(browser.value("Turn").await, "0", "it is another page");
            let there = browser.url().await;
            let query = there.trim_end_matches("#there").split('?').next_back();
            assert_eq!(query, Some(format!("turn={turn}").as_str()), "{there}");
            browser.click(Role::Link, "There").await;
            if scripts {
                browser.click(Role::Button, "Stay").await;
                assert_eq!(browser.text("#there").await, turn.to_string());
            }
        }
    }
}

#[tokio::test]
async fn a_dropped_browser_leaves_nothing() {
    let browser = Browser::start().await;
    browser.open("chrome://version").await;
    let profile = browser.text("#profile_path").await;
    let profile = Path::new(&profile).ancestors().nth(2).expect("a profile is in a folder");
    assert!(profile.exists());
    drop(browser);
    assert!(!profile.exists(), "{}", profile.display());
}
