//! What is read from files and stdin.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prost::Message;
use serde_json::Value;

use crate::descriptors::{from_json, settable_fields};
use crate::failure::Failure;
use crate::prompt;

/// The most that is read of one file: no request may be larger.
const MAX_BYTES: u64 = 4 << 20;

/// Stdin, for the one who reads it to its end: a second one would find nothing.
pub(crate) fn stdin() -> Result<io::Stdin, Failure> {
    static IS_TAKEN: AtomicBool = AtomicBool::new(false);
    match IS_TAKEN.swap(true, Ordering::Relaxed) {
        false => Ok(io::stdin()),
        true => Err(Failure::Usage(
            "`-` is given twice, and stdin can be read only once: name a file for one of them"
                .to_owned(),
        )),
    }
}

/// A file's bytes; `-` is stdin.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let doing = || format!("read {}", shown(path));
    let mut bytes = Vec::new();
    let read = match path == Path::new("-") {
        true => stdin()?.lock().take(MAX_BYTES + 1).read_to_end(&mut bytes),
        false => {
            fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        }
    };
    read.map_err(|error| Failure::local(doing(), error))?;
    match bytes.len() as u64 > MAX_BYTES {
        true => Err(Failure::local(doing(), "it has more than 4 MiB")),
        false => Ok(bytes),
    }
}

/// A file's text.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read_bytes(path)?)
        .map_err(|_| Failure::local(format!("read {}", shown(path)), "it is not UTF-8"))
}

/// A secret in a file, without the line break at its end. From stdin it is asked for without echo if
/// that is a terminal.
pub(crate) fn read_secret(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") && prompt::is_possible() {
        return prompt::secret("Secret: ");
    }
    let text = read_text(path)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Resources of a file in JSON or YAML: one, a list, or several documents. Each with the names of the
/// fields that it gives. An etag is not among them: what `get` has printed may be applied again and again.
pub(crate) fn read_resources<M: Message + Default>(
    name: &str,
    path: &Path,
) -> Result<Vec<(M, Vec<String>)>, Failure> {
    let text = read_text(path)?;
    let doing = || format!("read {}", shown(path));
    // JSON is YAML.
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|error| Failure::local(doing(), error))?;
    let items = documents.into_iter().flat_map(|document| match document {
        Value::Array(items) => items,
        item => vec![item],
    });
    let resources = items.enumerate().map(|(index, mut item)| {
        item.as_object_mut().and_then(|fields| fields.remove("etag"));
        let resource = from_json(name, &item)
            .map_err(|error| Failure::local(doing(), format!("{name} {}: {error}", index + 1)))?;
        Ok((resource, settable_fields(name, &item)))
    });
    let resources = resources.collect::<Result<Vec<_>, Failure>>()?;
    match resources.is_empty() {
        true => Err(Failure::local(doing(), "it is empty")),
        false => Ok(resources),
    }
}

/// Refuses resources without an id: without one, applying a file twice would create all of it twice.
pub(crate) fn require_ids<M>(
    resources: &[(M, Vec<String>)],
    id: impl Fn(&M) -> &str,
    what: &str,
    prefix: &str,
) -> Result<(), Failure> {
    match resources.iter().position(|(resource, _)| id(resource).is_empty()) {
        None => Ok(()),
        Some(index) => Err(Failure::Usage(format!(
            "{what} {} of the file has no id: give it one (`{prefix}` and a ULID), which stays the same",
            index + 1
        ))),
    }
}

/// A duration as protobuf has it.
pub(crate) fn to_proto(duration: Duration) -> prost_types::Duration {
    // What clap has read is far below the limits.
    duration.try_into().unwrap_or_default()
}

/// A time as protobuf has it.
pub(crate) fn time_to_proto(time: jiff::Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

fn shown(path: &Path) -> String {
    match path == Path::new("-") {
        true => "stdin".to_owned(),
        false => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_client::v1;

    use super::*;

    fn read(text: &str) -> Result<Vec<(v1::Endpoint, Vec<String>)>, Failure> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("written");
        read_resources("Endpoint", file.path())
    }

    #[test]
    fn an_etag_that_get_has_printed_is_no_condition() {
        let read = read("url: https://a\netag: '3'\n").expect("a resource");
        assert_eq!(read[0].0.etag, "");
        assert_eq!(read[0].1, ["url"]);
    }

    #[test]
    fn resources_are_json_or_yaml_one_or_many() {
        let urls = |text| {
            let read = read(text).expect("resources");
            read.into_iter().map(|(endpoint, _)| endpoint.url).collect::<Vec<_>>()
        };
        assert_eq!(urls(r#"{"url": "https://a"}"#), ["https://a"]);
        assert_eq!(
            urls(r#"[{"url": "https://a"}, {"url": "https://b"}]"#),
            ["https://a", "https://b"]
        );
        assert_eq!(urls("url: https://a\n---\nurl: https://b\n"), ["https://a", "https://b"]);
    }

    #[test]
    fn an_unknown_field_names_the_resource() {
        let failure = read("- url: https://a\n- ulr: https://b\n").expect_err("refused");
        let text = failure.text();
        assert!(text.contains("Endpoint 2") && text.contains("ulr"), "{text}");
    }
}
