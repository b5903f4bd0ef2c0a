//! What each file of a crate imports, read from its text with `syn`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

/// A name that is handed on more often is taken for another crate's.
const MAX_RE_EXPORTS: usize = 16;

/// A path as code writes it: `crate`, `store`, `Store`.
type Names = Vec<String>;

/// The modules of one crate, by their paths within it; the crate's root is the empty path.
#[derive(Default)]
pub(crate) struct Crate {
    modules: BTreeMap<Names, Module>,
}

#[derive(Default)]
struct Module {
    file: PathBuf,
    /// What it defines itself.
    items: BTreeSet<String>,
    /// What it imports, by the name under which it does.
    imports: BTreeMap<String, Names>,
    globs: Vec<Names>,
    /// Every path that its code names, but those that it only hands on (`pub use`).
    used: Vec<Names>,
}

impl Crate {
    /// Reads `lib.rs` or `main.rs`, and the files of its modules.
    pub(crate) fn read(root: &Path) -> Crate {
        let mut this = Crate::default();
        this.read_file(root, Vec::new());
        this
    }

    fn read_file(&mut self, file: &Path, module: Names) {
        let text =
            fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let stem = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let is_root = matches!(stem.as_str(), "lib" | "main" | "mod");
        let folder = file.parent().expect("a folder");
        let children = if is_root { folder.to_owned() } else { folder.join(stem) };
        self.read_items(&parsed.items, file, &children, module);
    }

    fn read_items(&mut self, items: &[syn::Item], file: &Path, folder: &Path, module: Names) {
        let mut this = Module { file: file.to_owned(), ..Module::default() };
        for item in items {
            if is_test(attributes(item)) {
                continue;
            }
            match item {
                syn::Item::Mod(it) => {
                    let name = it.ident.to_string();
                    let path = [module.as_slice(), std::slice::from_ref(&name)].concat();
                    if let Some((_, items)) = &it.content {
                        self.read_items(items, file, &folder.join(&name), path);
                    } else {
                        let flat = folder.join(format!("{name}.rs"));
                        let nested = folder.join(&name).join("mod.rs");
                        let file = if flat.exists() { flat } else { nested };
                        if file.exists() {
                            self.read_file(&file, path);
                        }
                    }
                }
                syn::Item::Use(it) => {
                    let is_handed_on = !matches!(it.vis, syn::Visibility::Inherited);
                    this.import(&it.tree, &mut Vec::new(), is_handed_on);
                }
                item => {
                    if let syn::Item::Macro(it) = item {
                        this.definitions(it.mac.tokens.clone());
                    }
                    this.items.extend(names_of(item));
                    this.visit_item(item);
                }
            }
        }
        self.modules.insert(module, this);
    }

    /// The file that defines what `path` names in `module`; nothing if that is another crate's.
    fn file_of(&self, module: &[String], path: &[String], depth: usize) -> Option<&Path> {
        if depth > MAX_RE_EXPORTS {
            return None;
        }
        let (first, rest) = path.split_first()?;
        let (mut at, mut rest) = match first.as_str() {
            "crate" => (Vec::new(), rest),
            "self" => (module.to_vec(), rest),
            "super" => (module.split_last()?.1.to_vec(), rest),
            _ => (module.to_vec(), path),
        };
        while let Some((name, after)) = rest.split_first() {
            if name == "super" {
                at.pop()?;
                rest = after;
                continue;
            }
            let here = self.modules.get(&at)?;
            let child = [at.as_slice(), std::slice::from_ref(name)].concat();
            if here.items.contains(name) {
                return Some(&here.file);
            }
            if let Some(import) = here.imports.get(name) {
                let whole = [import.as_slice(), after].concat();
                return (whole != path).then(|| self.file_of(&at, &whole, depth + 1)).flatten();
            }
            if self.modules.contains_key(&child) {
                at = child;
                rest = after;
                continue;
            }
            return here.globs.iter().find_map(|glob| {
                let whole = [glob.as_slice(), rest].concat();
                self.file_of(&at, &whole, depth + 1)
            });
        }
        self.modules.get(&at).map(|module| module.file.as_path())
    }

    /// The files that each file takes something from.
    pub(crate) fn imports(&self) -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
        let mut imports: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
        for (path, module) in &self.modules {
            let files = module.used.iter().filter_map(|used| self.file_of(path, used, 0));
            let others = files.filter(|file| *file != module.file).map(Path::to_owned);
            imports.entry(module.file.clone()).or_default().extend(others);
        }
        imports
    }
}

impl Module {
    fn import(&mut self, tree: &syn::UseTree, path: &mut Names, is_handed_on: bool) {
        match tree {
            syn::UseTree::Path(it) => {
                path.push(it.ident.to_string());
                self.import(&it.tree, path, is_handed_on);
                path.pop();
            }
            syn::UseTree::Group(it) => {
                for tree in &it.items {
                    self.import(tree, path, is_handed_on);
                }
            }
            syn::UseTree::Glob(_) => {
                self.globs.push(path.clone());
                if !is_handed_on {
                    self.used.push(path.clone());
                }
            }
            syn::UseTree::Name(it) => self.import_as(&it.ident, &it.ident, path, is_handed_on),
            syn::UseTree::Rename(it) => self.import_as(&it.ident, &it.rename, path, is_handed_on),
        }
    }

    fn import_as(
        &mut self,
        name: &syn::Ident,
        known_as: &syn::Ident,
        path: &Names,
        is_handed_on: bool,
    ) {
        let mut whole = path.clone();
        if name != "self" {
            whole.push(name.to_string());
        }
        let known_as =
            if known_as == "self" { whole.last().cloned() } else { Some(known_as.to_string()) };
        if !is_handed_on {
            self.used.push(whole.clone());
        }
        if let Some(known_as) = known_as {
            self.imports.insert(known_as, whole);
        }
    }

    /// Macros are not parsed: what looks like a path in them counts as one.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Names = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) if colons == 2 || path.is_empty() => {
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' && !path.is_empty() => colons += 1,
                other => {
                    self.end_of(&mut path);
                    colons = 0;
                    match other {
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        TokenTree::Ident(name) => path.push(name.to_string()),
                        _ => {}
                    }
                }
            }
        }
        self.end_of(&mut path);
    }

    /// What a macro's tokens define, as far as its own keywords say so.
    fn definitions(&mut self, tokens: TokenStream) {
        let mut is_definition = false;
        for token in tokens {
            match token {
                TokenTree::Ident(name) if is_definition => {
                    self.items.insert(name.to_string());
                    is_definition = false;
                }
                TokenTree::Ident(word) => {
                    is_definition = word == "enum" || word == "struct" || word == "type";
                }
                _ => is_definition = false,
            }
        }
    }

    fn end_of(&mut self, path: &mut Names) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.used.push(path);
        }
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        // A single name is defined here or imported, and imports are counted where they stand.
        if path.segments.len() > 1 && path.leading_colon.is_none() {
            self.used.push(path.segments.iter().map(|it| it.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, it: &'ast syn::Macro) {
        self.tokens(it.tokens.clone());
        syn::visit::visit_macro(self, it);
    }

    fn visit_item_use(&mut self, it: &'ast syn::ItemUse) {
        self.import(&it.tree, &mut Vec::new(), false);
    }

    fn visit_impl_item_fn(&mut self, it: &'ast syn::ImplItemFn) {
        if !is_test(&it.attrs) {
            syn::visit::visit_impl_item_fn(self, it);
        }
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(it) => &it.attrs,
        syn::Item::Enum(it) => &it.attrs,
        syn::Item::Fn(it) => &it.attrs,
        syn::Item::Impl(it) => &it.attrs,
        syn::Item::Macro(it) => &it.attrs,
        syn::Item::Mod(it) => &it.attrs,
        syn::Item::Static(it) => &it.attrs,
        syn::Item::Struct(it) => &it.attrs,
        syn::Item::Trait(it) => &it.attrs,
        syn::Item::Type(it) => &it.attrs,
        syn::Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|it| {
        it.path().is_ident("cfg")
            && matches!(&it.meta, syn::Meta::List(list) if list.tokens.to_string().contains("test"))
    })
}

fn names_of(item: &syn::Item) -> Option<String> {
    let name = match item {
        syn::Item::Const(it) => &it.ident,
        syn::Item::Enum(it) => &it.ident,
        syn::Item::Fn(it) => &it.sig.ident,
        syn::Item::Macro(it) => it.ident.as_ref()?,
        syn::Item::Static(it) => &it.ident,
        syn::Item::Struct(it) => &it.ident,
        syn::Item::Trait(it) => &it.ident,
        syn::Item::Type(it) => &it.ident,
        _ => return None,
    };
    Some(name.to_string())
}
