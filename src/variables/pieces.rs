//! Files that a person sends: they come in pieces, each is acknowledged, and a method gets the whole, or each piece
//! where its path says `?stream`.

use super::{handler, path::Access, tree::View, upload::Upload, value::Objects, variable::Refused};
use crate::lua::Vm;
use crate::wire::{ErrorCode, Outgoing, Piece, Properties, VarId};

impl View {
    /// Takes a piece; after the last one the method is called.
    pub(super) fn take_piece(
        &mut self,
        id: VarId,
        piece: Piece,
        vm: &Vm,
        objects: &mut Objects,
        out: &mut Vec<Outgoing>,
    ) -> Result<(), Refused> {
        let key = self.key(id)?;
        let before = self.uploads.iter().position(|upload| upload.key == key);
        let before = before.map(|place| self.uploads.swap_remove(place));
        self.judge_now(key, vm, objects)?;
        let is_called = self.nodes.get(key).is_some_and(|variable| variable.access == Access::Action);
        if !is_called {
            return Err((
                ErrorCode::Unauthorized,
                format!("variable {id} takes no files; bind ui-upload=\"name(_)\""),
            ));
        }
        let streamed =
            self.nodes.get(key).is_some_and(|variable| variable.properties.get("stream").is_some());
        let max = vm.budget().upload.as_usize();
        let size = usize::try_from(piece.size).unwrap_or(usize::MAX);
        let kept = self.uploads.iter().filter(|upload| !upload.streamed);
        let on_their_way: usize = kept.map(|upload| upload.size).sum();
        if !streamed && size > max.saturating_sub(on_their_way) {
            let name = &piece.name;
            let why = format!(
                "{name:?} has {size} bytes, {on_their_way} are on their way, and together files may have {max} \
                 (session.budget.upload); with ?stream in ui-upload the method gets piece by piece"
            );
            return Err((ErrorCode::Limit, why));
        }
        let upload = match before.filter(|upload| upload.number == piece.number && upload.size == size) {
            Some(upload) => upload,
            None => Upload {
                key,
                number: piece.number,
                size,
                there: 0,
                streamed,
                bytes: Vec::new(),
                charge: objects
                    .account()
                    .passing(0)
                    .map_err(|error| (ErrorCode::Limit, error.to_string()))?,
            },
        };
        let mut upload = upload.with(&piece)?;
        let uploaded = format!("{}:{}", upload.number, upload.there);
        let is_complete = upload.there == size;
        if streamed || is_complete {
            self.hand_over(&mut upload, piece, vm, objects)?;
        }
        if !is_complete {
            self.uploads.push(upload);
        }
        let properties = Properties::from([("uploaded".to_owned(), uploaded)]);
        out.push(Outgoing::Update { var_id: id, value: None, properties });
        Ok(())
    }

    fn hand_over(
        &mut self,
        upload: &mut Upload,
        piece: Piece,
        vm: &Vm,
        objects: &mut Objects,
    ) -> Result<(), Refused> {
        let bytes = std::mem::take(&mut upload.bytes);
        let mut file = mlua::Value::Nil;
        let (done, raised) = handler::run(vm, |lua| {
            let table = lua.create_table()?;
            table.raw_set("name", piece.name)?;
            table.raw_set("type", piece.kind)?;
            table.raw_set("size", upload.size)?;
            table.raw_set("content", lua.create_string(&bytes)?)?;
            if upload.streamed {
                table.raw_set("at", piece.at)?;
                table.raw_set("last", upload.there == upload.size)?;
            }
            file = mlua::Value::Table(table);
            Ok(())
        })
        .and_then(|()| self.write(upload.key, &file, vm, objects))
        .map_or_else(|(refused, raised)| (Err(refused), raised), |()| (Ok(()), None));
        self.note_written(upload.key, &done, raised, vm);
        done
    }
}
