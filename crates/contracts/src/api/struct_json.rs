//! Writes a google.protobuf.Struct as JSON text.

use keeptrusts_webhooks_domain::violation::Violation;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

/// From here on a double cannot represent every integer.
const TWO_TO_THE_53: f64 = 9_007_199_254_740_992.0;

/// The path in a violation, in characters. A longer one is cut, because names can be as long as the data.
const MAX_PATH_CHARS: usize = 200;

/// The JSON text of a Struct, without white space, fields sorted by name.
///
/// Doubles that are integers below 2⁵³ are written as integers (minus zero as 0). Others are written in
/// the shortest form that reads back as the same double, with a fraction or an exponent. `field` is the
/// Struct's name in the request. A violation has the path below it, for example `data.a.b[2]`, cut at
/// 200 characters.
pub fn struct_to_json(field: &str, data: &Struct) -> Result<String, Violation> {
    let mut writer = Writer { path: field.to_owned(), json: String::new() };
    writer.object(data)?;
    Ok(writer.json)
}

/// Recursion is bounded: prost decodes messages only to a depth of 100.
struct Writer {
    path: String,
    json: String,
}

impl Writer {
    fn object(&mut self, object: &Struct) -> Result<(), Violation> {
        self.json.push('{');
        // prost keeps the fields in a BTreeMap, and so sorted.
        for (index, (name, value)) in object.fields.iter().enumerate() {
            if index > 0 {
                self.json.push(',');
            }
            self.string(name);
            self.json.push(':');
            self.below(format_args!(".{name}"), value)?;
        }
        self.json.push('}');
        Ok(())
    }

    fn array(&mut self, values: &[Value]) -> Result<(), Violation> {
        self.json.push('[');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.json.push(',');
            }
            self.below(format_args!("[{index}]"), value)?;
        }
        self.json.push(']');
        Ok(())
    }

    fn below(&mut self, step: std::fmt::Arguments<'_>, value: &Value) -> Result<(), Violation> {
        let length = self.path.len();
        self.path.push_str(&step.to_string());
        self.value(value)?;
        self.path.truncate(length);
        Ok(())
    }

    fn value(&mut self, value: &Value) -> Result<(), Violation> {
        match &value.kind {
            Some(Kind::NullValue(_)) => self.json.push_str("null"),
            Some(Kind::BoolValue(value)) => self.json.push_str(&value.to_string()),
            Some(Kind::NumberValue(number)) => return self.number(*number),
            Some(Kind::StringValue(text)) => self.string(text),
            Some(Kind::StructValue(object)) => return self.object(object),
            Some(Kind::ListValue(list)) => return self.array(&list.values),
            // struct.proto: "absence of any variant indicates an error".
            None => return Err(self.violation("has no value; send null_value for null")),
        }
        Ok(())
    }

    fn violation(&self, description: impl Into<String>) -> Violation {
        let path = match self.path.char_indices().nth(MAX_PATH_CHARS) {
            Some((end, _)) => format!("{}…", &self.path[..end]),
            None => self.path.clone(),
        };
        Violation::invalid_format(path, description)
    }

    fn number(&mut self, number: f64) -> Result<(), Violation> {
        if number.trunc() == number && number.abs() < TWO_TO_THE_53 {
            self.json.push_str(&(number as i64).to_string());
            return Ok(());
        }
        let number = serde_json::Number::from_f64(number)
            .ok_or_else(|| self.violation(format!("is {number}, which JSON has no number for")))?;
        self.json.push_str(&number.to_string());
        Ok(())
    }

    fn string(&mut self, text: &str) {
        // Display of a serde_json value writes JSON.
        self.json.push_str(&serde_json::Value::from(text).to_string());
    }
}

#[cfg(test)]
mod tests {
    use prost_types::ListValue;

    use super::*;

    fn value(kind: Kind) -> Value {
        Value { kind: Some(kind) }
    }

    fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Struct {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
        Struct { fields: fields.collect() }
    }

    fn number(number: f64) -> String {
        let json = struct_to_json("data", &object([("n", value(Kind::NumberValue(number)))]));
        json.expect("a number")[5..].trim_end_matches('}').to_owned()
    }

    #[test]
    fn every_kind_of_value_is_written_with_fields_sorted_by_name() {
        let list = ListValue {
            values: vec![value(Kind::BoolValue(true)), value(Kind::StructValue(object([])))],
        };
        let data = object([
            ("z", value(Kind::NullValue(0))),
            ("b", value(Kind::StringValue("\"é\n\u{0}".to_owned()))),
            ("a", value(Kind::ListValue(list))),
        ]);
        let json = struct_to_json("data", &data).expect("valid");
        assert_eq!(json, r#"{"a":[true,{}],"b":"\"é\n\u0000","z":null}"#);
    }

    #[test]
    fn integers_are_written_as_integers_and_others_in_their_shortest_form() {
        for (given, written) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-42.0, "-42"),
            (1e15, "1000000000000000"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (9_007_199_254_740_992.0, "9007199254740992.0"),
            (0.1, "0.1"),
            (1.5, "1.5"),
            (1e21, "1e+21"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        ] {
            assert_eq!(number(given), written);
            assert_eq!(number(given).parse(), Ok(given), "{written} reads back as itself");
        }
    }

    #[test]
    fn a_value_that_json_cannot_express_is_named_by_its_path() {
        let wrong_at = |wrong: Value| {
            let list = ListValue { values: vec![value(Kind::BoolValue(true)), wrong] };
            let inner =
                object([("b", value(Kind::ListValue(list))), ("c", value(Kind::NullValue(0)))]);
            let data = object([("a", value(Kind::StructValue(inner)))]);
            struct_to_json("data", &data).expect_err("not JSON").field
        };
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(wrong_at(value(Kind::NumberValue(wrong))), "data.a.b[1]");
        }
        assert_eq!(wrong_at(Value { kind: None }), "data.a.b[1]");
        let fields = [("é".repeat(100_000), Value { kind: None })].into_iter().collect();
        let violation = struct_to_json("data", &Struct { fields }).expect_err("no value");
        assert_eq!(violation.field, format!("data.{}…", "é".repeat(195)));
    }
}
