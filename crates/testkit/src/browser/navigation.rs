//! Actions that may lead to another page. They return once that page is there.
//!
//! The driver waits for a navigation that has begun. A form is submitted a moment after its button was
//! clicked, and on a busy machine the driver checks before that, so that the test would read the old
//! page. So a script notes in the document whether the action leaves the page.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::session::{ElementId, Session, WebDriverError};

/// How long another page may take, the server included.
const PATIENCE: Duration = Duration::from_secs(30);

const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Notes in the document whether it will be left. Whether a script prevents that is known once the
/// event has passed all listeners. With scripts disabled no listener is called, ours included, and
/// nothing can prevent it.
const WATCH: &str = "
    const [element] = arguments;
    const note = document.note = { leaves: false };
    const isLink = (link) => link && link.target !== '_blank'
        && (!link.hash || link.href.split('#')[0] !== location.href.split('#')[0]);
    let listens = false;
    addEventListener('note', () => { listens = true; }, { once: true });
    dispatchEvent(new Event('note'));
    if (listens) {
        addEventListener('click', (event) => {
            if (!event.defaultPrevented && isLink(event.target.closest('a[href]'))) {
                note.leaves = true;
            }
        });
        addEventListener('submit', (event) => {
            if (!event.defaultPrevented) note.leaves = true;
        });
    } else {
        const isSubmit = element.form && (element.type === 'submit' || arguments[1]);
        note.leaves = Boolean(isSubmit || isLink(element.closest('a[href]')));
    }
";

/// Clicks an element, and waits for the page to which this leads, if any.
pub(super) async fn click(session: &Session, element: &ElementId) -> Result<(), WebDriverError> {
    session.run(WATCH, json!([element.json(), false])).await?;
    session.act(element, "click", json!({})).await?;
    arrive(session).await;
    Ok(())
}

/// Presses Enter in a field, and waits for the page to which this leads, if any.
pub(super) async fn press_enter(
    session: &Session,
    element: &ElementId,
) -> Result<(), WebDriverError> {
    session.run(WATCH, json!([element.json(), true])).await?;
    // WebDriver's code for the key, section 17.4.2.
    session.act(element, "value", json!({ "text": "\u{E007}" })).await?;
    arrive(session).await;
    Ok(())
}

/// Waits until the current document is not one that will be left. The action is done: an error here
/// must not repeat it.
async fn arrive(session: &Session) {
    let end = Instant::now() + PATIENCE;
    loop {
        match session.run("return document.note?.leaves ?? false;", json!([])).await {
            Ok(Value::Bool(true)) => {}
            Ok(_) => return,
            Err(error) if error.is_transient() => {}
            Err(error) => panic!("the browser could not follow: {error}"),
        }
        assert!(Instant::now() < end, "{PATIENCE:?} passed, and the next page did not come");
        sleep(LOOK_AGAIN).await;
    }
}
