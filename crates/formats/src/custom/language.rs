//! The part of the template language that customers may use. A template is checked before it is
//! compiled, and refused if it uses anything else.
//!
//! Fuel bounds the steps of a template and the texts that it makes, but the engine charges a
//! container by its length and not by its contents. With `{% set a = [a, a] %}`, sixty times, a list
//! of two elements has more leaves than can be printed or compared, and printing `[0] * 90000000`
//! takes minutes. So templates make no containers, and their input is a tree no larger than the
//! event.
//!
//! - Lists can contain constants only (`in ["high", "critical"]`); there are no maps and tuples.
//! - Operands of arithmetic are surely numbers, since `+` and `*` work on lists as well.
//! - One side of a comparison is surely no container.
//! - There are no calls, no recursive loops, no captured blocks and no slices.
//!
//! What is left still reads its operands, and the engine does not know numbers that keep their text.
//! So operators become filters of ours ([`super::operators`]), which know these numbers and charge for
//! what they read.
//!
//! Decision: docs/decisions/templates-are-parsed-before-they-run.md

use minijinja::Value;
use minijinja::machinery::ast::{
    self, BinOpKind, CallArg, CompareOpKind, Expr, Spanned, Stmt, UnaryOpKind,
};
use minijinja::machinery::{Span, Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;

use super::decimal::Decimal;
use super::engine_error::template_error;
use super::{builtins, data, numbers, operators};
use crate::error::FormatError;

/// What the engine calls a template in its errors. There is only one.
pub(super) const TEMPLATE_NAME: &str = "payload";

/// The most tokens between `{{` and `}}`, or `{%` and `%}`. The engine handles expressions by
/// recursion; each level takes at least one token.
const MAX_EXPRESSION_TOKENS: usize = 200;

/// The most `{% … %}` of a template. The engine handles every `{% elif %}` by recursion as well.
const MAX_STATEMENTS: usize = 300;

/// The largest index. `data.list[7]` counts characters if it is a text.
const MAX_INDEX: i64 = 1_000;

/// The engine looks up attributes at no charge. Longer names we look up ourselves.
const MAX_FREE_NAME_BYTES: usize = 64;

/// Filters whose result is a text or a number, whatever the input is.
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

/// Checks a template and rewrites its operators. The result can be compiled.
pub(super) fn read(template: &str) -> Result<Stmt<'_>, FormatError> {
    check_lengths(template)?;
    let parsed = parse(template, TEMPLATE_NAME, SyntaxConfig::default());
    Reading { template }.statement(&parsed.map_err(|error| template_error(&error))?)
}

/// Runs before anything that recurses.
fn check_lengths(template: &str) -> Result<(), FormatError> {
    let mut count = 0;
    let mut statements = 0;
    for token in tokenize(template, false, SyntaxConfig::default()) {
        let (token, span) = token.map_err(|error| template_error(&error))?;
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

struct Reading<'a> {
    template: &'a str,
}

impl<'a> Reading<'a> {
    fn statements(&self, statements: &[Stmt<'a>]) -> Result<Vec<Stmt<'a>>, FormatError> {
        statements.iter().map(|it| self.statement(it)).collect()
    }

    fn statement(&self, stmt: &Stmt<'a>) -> Result<Stmt<'a>, FormatError> {
        Ok(match stmt {
            Stmt::Template(template) => {
                let children = self.statements(&template.children)?;
                Stmt::Template(Spanned::new(ast::Template { children }, template.span()))
            }
            Stmt::EmitRaw(text) => {
                Stmt::EmitRaw(Spanned::new(ast::EmitRaw { raw: text.raw }, text.span()))
            }
            Stmt::EmitExpr(emitted) => {
                let expr = self.expression(&emitted.expr)?;
                Stmt::EmitExpr(Spanned::new(ast::EmitExpr { expr }, emitted.span()))
            }
            Stmt::ForLoop(repeated) => {
                if repeated.recursive {
                    return Err(refused(repeated.span(), "loops cannot be recursive here"));
                }
                let lowered = ast::ForLoop {
                    target: target(&repeated.target)?,
                    iter: self.iterated(&repeated.iter)?,
                    filter_expr: repeated
                        .filter_expr
                        .as_ref()
                        .map(|it| self.expression(it))
                        .transpose()?,
                    recursive: false,
                    body: self.statements(&repeated.body)?,
                    else_body: self.statements(&repeated.else_body)?,
                };
                Stmt::ForLoop(Spanned::new(lowered, repeated.span()))
            }
            Stmt::IfCond(condition) => {
                let lowered = ast::IfCond {
                    expr: self.expression(&condition.expr)?,
                    true_body: self.statements(&condition.true_body)?,
                    false_body: self.statements(&condition.false_body)?,
                };
                Stmt::IfCond(Spanned::new(lowered, condition.span()))
            }
            Stmt::WithBlock(with) => {
                let assignments = with.assignments.iter();
                let assignments =
                    assignments.map(|(name, value)| Ok((target(name)?, self.expression(value)?)));
                let lowered = ast::WithBlock {
                    assignments: assignments.collect::<Result<_, FormatError>>()?,
                    body: self.statements(&with.body)?,
                };
                Stmt::WithBlock(Spanned::new(lowered, with.span()))
            }
            Stmt::Set(set) => {
                let lowered =
                    ast::Set { target: target(&set.target)?, expr: self.expression(&set.expr)? };
                Stmt::Set(Spanned::new(lowered, set.span()))
            }
            Stmt::SetBlock(block) => {
                return Err(refused(
                    block.span(),
                    "a block cannot be set here: join texts with ~, as in {% set text = \"a\" ~ data.b %}",
                ));
            }
            Stmt::FilterBlock(block) => {
                return Err(refused(
                    block.span(),
                    "filter blocks cannot be used here: filter the values",
                ));
            }
            Stmt::AutoEscape(block) => {
                return Err(refused(
                    block.span(),
                    "autoescape cannot be changed: values are printed as JSON",
                ));
            }
            Stmt::Do(call) => return Err(refused(call.span(), "nothing can be called here")),
        })
    }

    /// What a loop iterates over.
    fn iterated(&self, expr: &Expr<'a>) -> Result<Expr<'a>, FormatError> {
        Ok(operator(operators::ITERATE, self.expression(expr)?, Vec::new(), expr.span()))
    }

    /// A constant. A number keeps its text, which the engine's value may not.
    fn constant(&self, constant: &Spanned<ast::Const>) -> Value {
        let (value, span) = (&constant.value, constant.span());
        if value.kind() != ValueKind::Number || value.is_integer() {
            return value.clone();
        }
        let written = self.template.get(span.start_offset as usize..span.end_offset as usize);
        let number = written.and_then(|text| Decimal::parse(&text.replace('_', "")).ok());
        number.map_or_else(|| value.clone(), |number| data::number(&number.to_string()))
    }

    fn expression(&self, expr: &Expr<'a>) -> Result<Expr<'a>, FormatError> {
        Ok(match expr {
            Expr::Var(name) => Expr::Var(Spanned::new(ast::Var { id: name.id }, name.span())),
            Expr::Const(constant) => literal(self.constant(constant), constant.span()),
            Expr::UnaryOp(operation) => {
                let expr = self.expression(&operation.expr)?;
                match operation.op {
                    UnaryOpKind::Neg => {
                        operator(operators::NEGATE, expr, Vec::new(), operation.span())
                    }
                    UnaryOpKind::Not => Expr::UnaryOp(Spanned::new(
                        ast::UnaryOp { op: UnaryOpKind::Not, expr },
                        operation.span(),
                    )),
                }
            }
            Expr::BinOp(operation) => self.binary(operation)?,
            Expr::Compare(chain) => {
                let mut comparisons = Vec::with_capacity(chain.ops.len());
                let mut left = &chain.expr;
                for compared in &chain.ops {
                    let right = &compared.expr;
                    let allowed = match compared.op {
                        CompareOpKind::In | CompareOpKind::NotIn => {
                            is_scalar(left) || is_list_of_constants(right)
                        }
                        _ => is_scalar(left) || is_scalar(right),
                    };
                    if !allowed {
                        return Err(refused(chain.span(), CONVERT));
                    }
                    comparisons.push((compared.op, self.expression(right)?));
                    left = right;
                }
                compared(self.expression(&chain.expr)?, comparisons, chain.span())
            }
            Expr::IfExpr(condition) => {
                let lowered = ast::IfExpr {
                    test_expr: self.expression(&condition.test_expr)?,
                    true_expr: self.expression(&condition.true_expr)?,
                    false_expr: condition
                        .false_expr
                        .as_ref()
                        .map(|it| self.expression(it))
                        .transpose()?,
                };
                Expr::IfExpr(Spanned::new(lowered, condition.span()))
            }
            Expr::Filter(filter) => {
                if !builtins::FILTERS.contains(&filter.name) {
                    let reason = format!("unknown filter: there is no filter {}", filter.name);
                    return Err(refused(filter.span(), reason));
                }
                let lowered = ast::Filter {
                    name: filter.name,
                    expr: filter.expr.as_ref().map(|it| self.expression(it)).transpose()?,
                    args: self.arguments(&filter.args, filter.span())?,
                };
                Expr::Filter(Spanned::new(lowered, filter.span()))
            }
            Expr::Test(test) => {
                if !builtins::TESTS.contains(&test.name) {
                    let reason = format!("unknown test: there is no test {}", test.name);
                    return Err(refused(test.span(), reason));
                }
                let lowered = ast::Test {
                    name: test.name,
                    expr: self.expression(&test.expr)?,
                    args: self.arguments(&test.args, test.span())?,
                };
                Expr::Test(Spanned::new(lowered, test.span()))
            }
            Expr::GetAttr(attribute) if attribute.name.len() > MAX_FREE_NAME_BYTES => {
                let name = literal(attribute.name.into(), attribute.span());
                let of = vec![self.expression(&attribute.expr)?];
                operator(operators::ITEM, name, of, attribute.span())
            }
            Expr::GetAttr(attribute) => {
                let lowered =
                    ast::GetAttr { expr: self.expression(&attribute.expr)?, name: attribute.name };
                Expr::GetAttr(Spanned::new(lowered, attribute.span()))
            }
            Expr::GetItem(item) => {
                let Expr::Const(index) = &item.subscript_expr else {
                    return Err(refused(
                        item.span(),
                        "an index must be a constant, as in data[\"a b\"]",
                    ));
                };
                match (index.value.as_str(), index.value.as_i64()) {
                    (Some(_), _) | (None, Some(0..MAX_INDEX)) => {}
                    _ => {
                        let reason = format!(
                            "an index must be a text, or a number from 0 to {}",
                            MAX_INDEX - 1
                        );
                        return Err(refused(item.span(), reason));
                    }
                }
                let index = literal(index.value.clone(), index.span());
                operator(operators::ITEM, index, vec![self.expression(&item.expr)?], item.span())
            }
            Expr::List(list) if is_list_of_constants(expr) => {
                let items =
                    list.items.iter().map(|it| self.expression(it)).collect::<Result<_, _>>()?;
                Expr::List(Spanned::new(ast::List { items }, list.span()))
            }
            Expr::List(list) => {
                return Err(refused(list.span(), "a list can be made of constants only"));
            }
            Expr::Tuple(tuple) => return Err(refused(tuple.span(), NO_CONTAINERS)),
            Expr::Map(map) => return Err(refused(map.span(), NO_CONTAINERS)),
            Expr::Slice(slice) => {
                return Err(refused(
                    slice.span(),
                    "nothing can be sliced here: use the filter truncate",
                ));
            }
            Expr::Call(call) => {
                return Err(refused(
                    call.span(),
                    "nothing can be called here: use filters, as in data.user|upper",
                ));
            }
        })
    }

    fn binary(&self, operation: &Spanned<ast::BinOp<'a>>) -> Result<Expr<'a>, FormatError> {
        let (span, op) = (operation.span(), operation.op);
        let (left, right) = (&operation.left, &operation.right);
        let allowed = match op {
            BinOpKind::Concat | BinOpKind::ScAnd | BinOpKind::ScOr => true,
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
        let (lowered_left, lowered_right) = (self.expression(left)?, self.expression(right)?);
        if !allowed {
            return Err(refused(span, CONVERT));
        }
        let compared = |op, left, right| compared(left, vec![(op, right)], span);
        let (left, right) = (lowered_left, lowered_right);
        Ok(match op {
            BinOpKind::Eq => compared(CompareOpKind::Eq, left, right),
            BinOpKind::Ne => compared(CompareOpKind::Ne, left, right),
            BinOpKind::Lt => compared(CompareOpKind::Lt, left, right),
            BinOpKind::Lte => compared(CompareOpKind::Lte, left, right),
            BinOpKind::Gt => compared(CompareOpKind::Gt, left, right),
            BinOpKind::Gte => compared(CompareOpKind::Gte, left, right),
            BinOpKind::In => compared(CompareOpKind::In, left, right),
            BinOpKind::Concat => operator(operators::CONCAT, left, vec![right], span),
            BinOpKind::ScAnd | BinOpKind::ScOr => {
                Expr::BinOp(Spanned::new(ast::BinOp { op, left, right }, span))
            }
            BinOpKind::Add
            | BinOpKind::Sub
            | BinOpKind::Mul
            | BinOpKind::Div
            | BinOpKind::FloorDiv
            | BinOpKind::Rem
            | BinOpKind::Pow => {
                let sign = literal(numbers::sign(op).unwrap_or_default().into(), span);
                operator(operators::ARITHMETIC, sign, vec![left, right], span)
            }
        })
    }

    fn arguments(
        &self,
        arguments: &[CallArg<'a>],
        span: Span,
    ) -> Result<Vec<CallArg<'a>>, FormatError> {
        let lowered = arguments.iter().map(|argument| match argument {
            CallArg::Pos(expr) => Ok(CallArg::Pos(self.expression(expr)?)),
            CallArg::Kwarg(name, expr) => Ok(CallArg::Kwarg(name, self.expression(expr)?)),
            CallArg::PosSplat(_) | CallArg::KwargSplat(_) => {
                Err(refused(span, "arguments cannot be unpacked here"))
            }
        });
        lowered.collect()
    }
}

/// What is assigned to: a name, or several in `for name, value in data|items`.
fn target<'a>(expr: &Expr<'a>) -> Result<Expr<'a>, FormatError> {
    let targets = |items: &[Expr<'a>]| items.iter().map(target).collect::<Result<Vec<_>, _>>();
    Ok(match expr {
        Expr::Var(name) => Expr::Var(Spanned::new(ast::Var { id: name.id }, name.span())),
        Expr::List(list) => {
            Expr::List(Spanned::new(ast::List { items: targets(&list.items)? }, list.span()))
        }
        Expr::Tuple(tuple) => {
            Expr::Tuple(Spanned::new(ast::Tuple { items: targets(&tuple.items)? }, tuple.span()))
        }
        other => return Err(refused(other.span(), "only a name can be set")),
    })
}

fn literal<'a>(value: Value, span: Span) -> Expr<'a> {
    Expr::Const(Spanned::new(ast::Const { value }, span))
}

/// One of our filters that no template can name.
fn operator<'a>(
    name: &'static str,
    value: Expr<'a>,
    arguments: Vec<Expr<'a>>,
    span: Span,
) -> Expr<'a> {
    let args = arguments.into_iter().map(CallArg::Pos).collect();
    Expr::Filter(Spanned::new(ast::Filter { name, expr: Some(value), args }, span))
}

/// The operands of a comparison are arguments, for whose texts the engine does not charge.
fn compared<'a>(
    first: Expr<'a>,
    comparisons: Vec<(CompareOpKind, Expr<'a>)>,
    span: Span,
) -> Expr<'a> {
    let names = comparisons.iter().map(|(op, _)| operators::comparison(*op));
    let names = literal(names.collect::<Vec<_>>().into(), span);
    let operands = [first].into_iter().chain(comparisons.into_iter().map(|(_, right)| right));
    operator(operators::COMPARE, names, operands.collect(), span)
}

const CONVERT: &str = "say what kind of value this is: data.count|int + 1, or data.kind == \"high\" with a constant on one side, or data.a|json_text == data.b|json_text";
const NO_CONTAINERS: &str = "maps and tuples cannot be made here: write the JSON around the values";

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
