//! Is this file a workflow, and can its step bodies be sealed? Answered from the bytes, before anything is compiled.

use wasmparser::{Encoding, Operator, Parser, Payload, TypeRef};

/// What a component is made of, as far as the sandbox cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// It imports `everstep:workflow/durable`.
    pub uses_durable: bool,
    /// It imports `next-unsealed`: it may run although its step bodies cannot be sealed.
    pub imports_unsealed: bool,
    /// Highest address of the shadow stack, if the stack is known to lie below all data: what is below the live frame
    /// is dead. 0: unknown, all memory counts.
    pub stack_top: usize,
    /// Why its step bodies cannot be sealed, if they cannot.
    pub unsealable: Option<String>,
}

/// Why a file is not a workflow this build can run. Every text names the remedy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAWorkflow {
    /// No WebAssembly at all.
    #[error("not a WebAssembly file; give a component built with `cargo build --target wasm32-wasip2`")]
    NotWasm,
    /// A core module.
    #[error("a core WebAssembly module, not a component; build it with `cargo build --target wasm32-wasip2`")]
    CoreModule,
    /// Cut short or damaged.
    #[error("damaged at byte {offset}: {reason}; build it again")]
    Damaged {
        /// Where.
        offset: usize,
        /// What is wrong there.
        reason: String,
    },
    /// Another world.
    #[error(
        "exports no `wasi:cli/run`, so it has nothing to run; a workflow is a program with a `fn main`, built with \
         `cargo build --target wasm32-wasip2` (a library or an HTTP proxy component is not one)"
    )]
    NoRun,
    /// It needs something the host does not have.
    #[error("imports `{0}`, which this host does not provide; {1}")]
    UnknownImport(String, &'static str),
}

const PROVIDED: [&str; 8] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:random/",
    "wasi:io/",
    "wasi:filesystem/",
    "wasi:sockets/",
    "wasi:http/types@",
    "wasi:http/outgoing-handler@",
];

/// Reads a component's imports, exports and core modules. Linear in its size; executes nothing.
pub fn inspect(wasm: &[u8]) -> Result<Shape, NotAWorkflow> {
    if !wasm.starts_with(b"\0asm") {
        return Err(NotAWorkflow::NotWasm);
    }
    if Parser::is_core_wasm(wasm) {
        return Err(NotAWorkflow::CoreModule);
    }
    let damaged = |error: wasmparser::BinaryReaderError| NotAWorkflow::Damaged {
        offset: error.offset(),
        reason: error.message().to_owned(),
    };
    let mut validator = wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all());
    let types = validator.validate_all(wasm).map_err(damaged)?;

    let (mut depth, mut runs) = (0u32, false);
    let (mut uses_durable, mut imports_unsealed) = (false, false);
    let mut modules = Vec::new();
    let mut module: Option<Module> = None;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(damaged)? {
            Payload::Version { encoding: Encoding::Module, .. } => module = Some(Module::default()),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => {
                modules.extend(module.take());
                depth = depth.saturating_sub(1);
            }
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    let import = import.map_err(damaged)?;
                    if check_import(import.name.name)? {
                        uses_durable = true;
                        imports_unsealed |= has_function(&types, import.name.name, "next-unsealed");
                    }
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    runs |= export.map_err(damaged)?.name.name.starts_with("wasi:cli/run@0.2.");
                }
            }
            payload => {
                if let Some(module) = &mut module {
                    module.read(payload).map_err(damaged)?;
                }
            }
        }
    }
    if !runs {
        return Err(NotAWorkflow::NoRun);
    }
    let (stack_top, unsealable) = sealing(&modules);
    Ok(Shape { uses_durable, imports_unsealed, stack_top, unsealable })
}

/// Whether the interface imported under this name is asked for this function.
fn has_function(types: &wasmparser::types::Types, interface: &str, function: &str) -> bool {
    use wasmparser::component_types::ComponentEntityType;
    match types.component_item_for_import(interface).map(|item| &item.ty) {
        Some(ComponentEntityType::Instance(id)) => types[*id].exports.contains_key(function),
        _ => false,
    }
}

fn check_import(name: &str) -> Result<bool, NotAWorkflow> {
    if name.starts_with("everstep:workflow/durable@1.") {
        return Ok(true);
    }
    let remedy = if name.starts_with("everstep:workflow/") {
        "it was built with a newer everstep-sdk: use a newer everstep"
    } else if name.starts_with("wasi:http/incoming-handler") {
        "a workflow makes HTTP requests and serves none: build a program with a `fn main`"
    } else if name.starts_with("wasi:") && !name.contains("@0.2.") {
        "build it for WASI 0.2 (`wasm32-wasip2`)"
    } else if PROVIDED.iter().any(|prefix| name.starts_with(prefix)) || !name.contains(':') {
        return Ok(false);
    } else {
        "workflows may import WASI 0.2 and everstep:workflow@1"
    };
    Err(NotAWorkflow::UnknownImport(name.to_owned(), remedy))
}

/// What sealing needs to know of one core module.
#[derive(Default)]
struct Module {
    memories: u32,
    mutable_globals: u32,
    stack_pointer: Option<usize>,
    lowest_data: Option<usize>,
}

impl Module {
    fn read(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::MemorySection(memories) => self.memories += memories.count(),
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    if let TypeRef::Global(global) = import?.ty {
                        self.mutable_globals += u32::from(global.mutable);
                    }
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let global = global?;
                    if global.ty.mutable {
                        self.mutable_globals += 1;
                        self.stack_pointer = self.stack_pointer.or(constant(&global.init_expr)?);
                    }
                }
            }
            Payload::DataSection(segments) => {
                for segment in segments {
                    if let wasmparser::DataKind::Active { offset_expr, .. } = segment?.kind {
                        let at = constant(&offset_expr)?.unwrap_or(0);
                        self.lowest_data = Some(self.lowest_data.map_or(at, |lowest| lowest.min(at)));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn constant(expression: &wasmparser::ConstExpr<'_>) -> wasmparser::Result<Option<usize>> {
    Ok(match expression.get_operators_reader().read()? {
        Operator::I32Const { value } => usize::try_from(value).ok(),
        _ => None,
    })
}

fn sealing(modules: &[Module]) -> (usize, Option<String>) {
    let memories: u32 = modules.iter().map(|module| module.memories).sum();
    let globals: u32 = modules.iter().map(|module| module.mutable_globals).sum();
    let stack_top = modules
        .iter()
        .find(|module| module.memories > 0)
        .and_then(|module| {
            let (top, lowest) = (module.stack_pointer?, module.lowest_data.unwrap_or(usize::MAX));
            (top <= lowest).then_some(top)
        })
        .unwrap_or(0);
    let unsealable = if memories != 1 {
        Some(format!("it has {memories} linear memories instead of one"))
    } else if globals > 1 {
        Some(format!("it has {globals} mutable globals; only the stack pointer can be restored"))
    } else {
        None
    };
    (stack_top, unsealable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_workflow_is_refused_with_the_remedy() {
        let text = |wasm: &[u8]| inspect(wasm).unwrap_err().to_string();
        assert!(text(b"#!/bin/sh").contains("not a WebAssembly file"));
        assert!(text(b"").contains("not a WebAssembly file"));
        assert!(text(b"\0asm\x01\0\0\0").contains("a core WebAssembly module"));
        assert!(text(b"\0asm\x0d\0\x01\0").contains("exports no `wasi:cli/run`"));
        assert!(text(b"\0asm\x0d\0\x01\0\x01\xff").contains("damaged at byte"));
    }

    #[test]
    fn imports_are_known_or_named() {
        assert_eq!(check_import("everstep:workflow/durable@1.0.0"), Ok(true));
        assert_eq!(check_import("wasi:clocks/wall-clock@0.2.9"), Ok(false));
        let text = |name: &str| check_import(name).unwrap_err().to_string();
        assert_eq!(check_import("wasi:http/outgoing-handler@0.2.3"), Ok(false));
        assert!(text("wasi:http/incoming-handler@0.2.3").contains("serves none"));
        assert!(text("wasi:clocks/wall-clock@0.3.0").contains("wasm32-wasip2"));
        assert!(text("everstep:workflow/durable@2.0.0").contains("newer everstep"));
        assert!(text("acme:db/query@1.0.0").contains("acme:db/query@1.0.0"));
    }
}
