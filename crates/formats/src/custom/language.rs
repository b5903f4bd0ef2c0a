//! The part of the template language that customers may use. A template is read before it is
//! compiled, and refused if it has anything that is not listed here.
//!
//! Fuel bounds the steps of a template and the texts that it makes, but the engine charges a
//! container by its length and not by what it contains. With `{% set a = [a, a] %}`, sixty times,
//! a list of two elements has more leaves than anybody can print or compare; `[0] * 90000000` is
//! printed for minutes. So templates make no containers, and everything that they are given is a
//! tree that is no larger than the event. What is left costs no more than what it is charged.
//!
//! - Lists can be written of constants only (`in ["high", "critical"]`), maps and tuples not at all.
//! - Arithmetic takes what is surely a number, since `+` and `*` work on lists as well.
//! - Comparisons have something on one side that is surely no container.
//! - Nothing is called, recursion included; no text is captured; nothing is sliced.

use minijinja::machinery::ast::{BinOpKind, CallArg, CompareOpKind, Expr, Stmt};
use minijinja::machinery::{Span, Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::failed;
use crate::FormatError;

/// The tokens between `{{` and `}}`, or `{%` and `%}`. The engine follows expressions by recursion;
/// each level takes a token at least.
const MAX_EXPRESSION_TOKENS: usize = 200;

/// The `{% … %}` of a template. It follows every `{% elif %}` by recursion as well.
const MAX_STATEMENTS: usize = 300;

/// `data.list[7]` counts characters if it is a text.
const MAX_INDEX: i64 = 1_000;

/// Filters that make a text or a number of whatever they are given.
const SCALAR_FILTERS: [&str; 14] = [
    "abs",
    "capitalize",
    "float",
    "int",
    "join",
    "json_text",
    "length",
    "lower",
    "replace",
    "round",
    "title",
    "trim",
    "truncate",
    "upper",
];

/// Whether a template keeps to the language.
pub(super) fn check(template: &str) -> Result<(), FormatError> {
    check_lengths(template)?;
    let parsed = parse(template, super::NAME, SyntaxConfig::default());
    statement(&parsed.map_err(|error| failed(&error))?)
}

/// Before anything is followed by recursion.
fn check_lengths(template: &str) -> Result<(), FormatError> {
    let mut count = 0;
    let mut statements = 0;
    for token in tokenize(template, false, SyntaxConfig::default()) {
        let (token, span) = token.map_err(|error| failed(&error))?;
        count = match &token {
            Token::VariableStart | Token::BlockStart | Token::TemplateData(_) => 0,
            _ => count + 1,
        };
        if count > MAX_EXPRESSION_TOKENS {
            let reason = format!(
                "an expression has more than {MAX_EXPRESSION_TOKENS} words and signs: divide it with {{% set %}}"
            );
            return Err(refused(span, reason));
        }
        statements += usize::from(matches!(token, Token::BlockStart));
        if statements > MAX_STATEMENTS {
            let reason = format!("it has more than {MAX_STATEMENTS} statements: leave some out");
            return Err(refused(span, reason));
        }
    }
    Ok(())
}

fn refused(span: Span, reason: impl Into<String>) -> FormatError {
    FormatError::Template { line: span.start_line.into(), reason: reason.into() }
}

fn statements(statements: &[Stmt<'_>]) -> Result<(), FormatError> {
    statements.iter().try_for_each(statement)
}

fn statement(stmt: &Stmt<'_>) -> Result<(), FormatError> {
    match stmt {
        Stmt::Template(template) => statements(&template.children),
        Stmt::EmitRaw(_) => Ok(()),
        Stmt::EmitExpr(emitted) => expression(&emitted.expr),
        Stmt::ForLoop(repeated) => {
            if repeated.recursive {
                return Err(refused(repeated.span(), "loops cannot be recursive here"));
            }
            expression(&repeated.iter)?;
            repeated.filter_expr.as_ref().map_or(Ok(()), expression)?;
            statements(&repeated.body)?;
            statements(&repeated.else_body)
        }
        Stmt::IfCond(condition) => {
            expression(&condition.expr)?;
            statements(&condition.true_body)?;
            statements(&condition.false_body)
        }
        Stmt::WithBlock(with) => {
            with.assignments.iter().try_for_each(|(_, value)| expression(value))?;
            statements(&with.body)
        }
        Stmt::Set(set) => expression(&set.expr),
        Stmt::SetBlock(block) => Err(refused(
            block.span(),
            "a block cannot be set here: join texts with ~, as in {% set text = \"a\" ~ data.b %}",
        )),
        Stmt::FilterBlock(block) => {
            Err(refused(block.span(), "filter blocks cannot be used here: filter the values"))
        }
        Stmt::AutoEscape(block) => {
            Err(refused(block.span(), "autoescape cannot be changed: values are printed as JSON"))
        }
        Stmt::Do(call) => Err(refused(call.span(), "nothing can be called here")),
    }
}

fn expression(expr: &Expr<'_>) -> Result<(), FormatError> {
    match expr {
        Expr::Var(_) | Expr::Const(_) => Ok(()),
        Expr::UnaryOp(operation) => expression(&operation.expr),
        Expr::BinOp(operation) => {
            let (left, right) = (&operation.left, &operation.right);
            expression(left)?;
            expression(right)?;
            let allowed = match operation.op {
                BinOpKind::Concat | BinOpKind::ScAnd | BinOpKind::ScOr => return Ok(()),
                BinOpKind::Add
                | BinOpKind::Sub
                | BinOpKind::Mul
                | BinOpKind::Div
                | BinOpKind::FloorDiv
                | BinOpKind::Rem
                | BinOpKind::Pow => is_scalar(left) && is_scalar(right),
                BinOpKind::Eq
                | BinOpKind::Ne
                | BinOpKind::Lt
                | BinOpKind::Lte
                | BinOpKind::Gt
                | BinOpKind::Gte => is_scalar(left) || is_scalar(right),
                BinOpKind::In => is_scalar(left) || is_list_of_constants(right),
            };
            allowed.then_some(()).ok_or_else(|| refused(operation.span(), CONVERT))
        }
        Expr::Compare(comparison) => {
            expression(&comparison.expr)?;
            let mut left = &comparison.expr;
            for compared in &comparison.ops {
                expression(&compared.expr)?;
                let right = &compared.expr;
                let allowed = match compared.op {
                    CompareOpKind::In | CompareOpKind::NotIn => {
                        is_scalar(left) || is_list_of_constants(right)
                    }
                    _ => is_scalar(left) || is_scalar(right),
                };
                if !allowed {
                    return Err(refused(comparison.span(), CONVERT));
                }
                left = right;
            }
            Ok(())
        }
        Expr::IfExpr(condition) => {
            expression(&condition.test_expr)?;
            expression(&condition.true_expr)?;
            condition.false_expr.as_ref().map_or(Ok(()), expression)
        }
        Expr::Filter(filter) => {
            filter.expr.as_ref().map_or(Ok(()), expression)?;
            arguments(&filter.args, filter.span())
        }
        Expr::Test(test) => {
            expression(&test.expr)?;
            arguments(&test.args, test.span())
        }
        Expr::GetAttr(attribute) => expression(&attribute.expr),
        Expr::GetItem(item) => {
            expression(&item.expr)?;
            let Expr::Const(index) = &item.subscript_expr else {
                return Err(refused(
                    item.span(),
                    "an index must be a constant, as in data[\"a b\"]",
                ));
            };
            match (index.value.as_str(), index.value.as_i64()) {
                (Some(_), _) | (None, Some(0..MAX_INDEX)) => Ok(()),
                _ => {
                    let reason =
                        format!("an index must be a text, or a number from 0 to {}", MAX_INDEX - 1);
                    Err(refused(item.span(), reason))
                }
            }
        }
        Expr::List(_) if is_list_of_constants(expr) => Ok(()),
        Expr::List(list) => Err(refused(list.span(), "a list can be made of constants only")),
        Expr::Tuple(tuple) => Err(refused(tuple.span(), NO_CONTAINERS)),
        Expr::Map(map) => Err(refused(map.span(), NO_CONTAINERS)),
        Expr::Slice(slice) => {
            Err(refused(slice.span(), "nothing can be sliced here: use the filter truncate"))
        }
        Expr::Call(call) => Err(refused(
            call.span(),
            "nothing can be called here: use filters, as in data.user|upper",
        )),
    }
}

const CONVERT: &str = "say what kind of value this is: data.count|int + 1, or data.kind == \"high\" with a constant on one side, or data.a|json_text == data.b|json_text";
const NO_CONTAINERS: &str = "maps and tuples cannot be made here: write the JSON around the values";

fn arguments(arguments: &[CallArg<'_>], span: Span) -> Result<(), FormatError> {
    arguments.iter().try_for_each(|argument| match argument {
        CallArg::Pos(expr) | CallArg::Kwarg(_, expr) => expression(expr),
        CallArg::PosSplat(_) | CallArg::KwargSplat(_) => {
            Err(refused(span, "arguments cannot be unpacked here"))
        }
    })
}

/// Whether it is a text, a number or a truth value, whatever the event has.
fn is_scalar(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Const(_) | Expr::Compare(_) | Expr::Test(_) => true,
        Expr::UnaryOp(operation) => is_scalar(&operation.expr),
        Expr::BinOp(operation) => match operation.op {
            BinOpKind::ScAnd | BinOpKind::ScOr => {
                is_scalar(&operation.left) && is_scalar(&operation.right)
            }
            // The others have been found to be, or are truth values.
            _ => true,
        },
        Expr::Filter(filter) => SCALAR_FILTERS.contains(&filter.name),
        _ => false,
    }
}

fn is_list_of_constants(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::List(list) => list.items.iter().all(|item| matches!(item, Expr::Const(_))),
        _ => false,
    }
}
