//! Completions: what clap makes of the definition of flags, and ids of images, which the program lists.

use std::collections::BTreeSet;

use clap::{ArgAction, Command};
use clap_complete::{Shell, generate};

/// The operands that are an id, as their help begins.
const IDS: [&str; 2] = ["Id of the image, or its path", "Id of an image, its path"];

/// The script of a shell.
pub(super) fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut grootfs::cli::definition(), "grootfs", &mut script);
    let script = String::from_utf8(script).unwrap();
    match shell {
        Shell::Bash => {
            // Where there is no id to be had, what clap made is called.
            script.replace("complete -F _grootfs ", "complete -F _grootfs_or_ids ").replacen(
                "\nif [[ \"${BASH_VERSINFO[0]}\" -eq 4",
                &format!("\n{}\nif [[ \"${{BASH_VERSINFO[0]}}\" -eq 4", filled(BASH)),
                1,
            )
        }
        Shell::Zsh => {
            let with_ids = |line: &str| match IDS.iter().any(|id| line.contains(id)) {
                true => line.replacen(":_default'", ":_grootfs_ids'", 1),
                false => line.to_owned(),
            };
            let script: String = script.lines().map(|line| with_ids(line) + "\n").collect();
            script.replacen("\nif [ \"$funcstack[1]\"", &format!("\n{}\nif [ \"$funcstack[1]\"", filled(ZSH)), 1)
        }
        _ => script + "\n" + &filled(FISH),
    }
}

/// Commands whose first operand is an id, and switches, which no value follows.
fn filled(template: &str) -> String {
    let program = grootfs::cli::definition();
    let is_id = |command: &&Command| {
        let first = command.get_positionals().next().and_then(|operand| operand.get_help()).map(ToString::to_string);
        first.is_some_and(|help| IDS.iter().any(|id| help.starts_with(id)))
    };
    let commands: Vec<&Command> = program.get_subcommands().filter(is_id).collect();
    let names: Vec<&str> = commands.iter().map(|command| command.get_name()).collect();
    assert!(names.contains(&"delete") && names.contains(&"inspect"), "{names:?}");
    let mut switches = BTreeSet::from(["-h".to_owned(), "--help".to_owned()]);
    for argument in commands.iter().flat_map(|command| command.get_arguments()).chain(program.get_arguments()) {
        if !matches!(argument.get_action(), ArgAction::Set | ArgAction::Append) {
            switches.extend(argument.get_long().map(|long| format!("--{long}")));
            switches.extend(argument.get_short().map(|short| format!("-{short}")));
        }
    }
    let switches: Vec<String> = switches.into_iter().collect();
    template
        .replace("COMMANDS|", &names.join("|"))
        .replace("COMMANDS ", &names.join(" "))
        .replace("SWITCHES", &switches.join("|"))
}

const BASH: &str = r#"# Ids of images in the store that the line names so far, where one is expected.
_grootfs_or_ids() {
    local -a options=()
    local command="" operands=0 i=1 word value next line id
    while ((i < COMP_CWORD)); do
        word=${COMP_WORDS[i]}
        i=$((i + 1))
        case $word in
            SWITCHES) ;;
            -*)
                # A `=` is a word of its own.
                [[ ${COMP_WORDS[i]} == "=" ]] && i=$((i + 1))
                ((i < COMP_CWORD)) || { _grootfs "$@"; return; }
                value=${COMP_WORDS[i]}
                i=$((i + 1))
                case $word in
                    --store | --config | --driver) options+=("$word" "${value/#\~\//$HOME/}") ;;
                esac
                ;;
            *) if [[ -z $command ]]; then command=$word; else operands=$((operands + 1)); fi ;;
        esac
    done
    next=${COMP_WORDS[COMP_CWORD]}
    case $command in
        COMMANDS|) ;;
        *) _grootfs "$@"; return ;;
    esac
    if ((operands > 0)) || [[ $next == -* ]]; then
        _grootfs "$@"
        return
    fi
    COMPREPLY=()
    while IFS= read -r line; do
        [[ $line == /*/images/* ]] || continue
        id=${line##*/images/}
        [[ $id == "$next"* ]] && COMPREPLY+=("$(printf %q "$id")")
    done < <("$1" "${options[@]}" list 2>/dev/null)
}
"#;

const ZSH: &str = r#"# Ids of images in the store that the line names so far.
(( $+functions[_grootfs_ids] )) ||
_grootfs_ids() {
    local -a line options ids
    local i word
    line=("${(@Q)${(z)LBUFFER}}")
    for (( i = 2; i < ${#line}; i++ )); do
        word=$line[i]
        case $word in
            (--store|--config|--driver) options+=("$word" "${line[i+1]/#\~\//$HOME/}") ;;
            (--store=*|--config=*|--driver=*) options+=("$word") ;;
        esac
    done
    ids=("${(@f)$(_call_program ids ${(q)line[1]} ${(q)options} list 2>/dev/null)}")
    ids=("${(@)${(M)ids:#/*/images/*}##*/images/}")
    compadd -a ids
}
"#;

const FISH: &str = r#"# Ids of images in the store that the line names so far.
function __fish_grootfs_ids
    set -l line (commandline -opc)
    set -l options
    for i in (seq 2 (count $line))
        switch $line[$i]
            case --store --config --driver
                set -l next (math $i + 1)
                set -a options $line[$i] $line[$next]
            case '--store=*' '--config=*' '--driver=*'
                set -a options $line[$i]
        end
    end
    $line[1] $options list 2>/dev/null | string match -r '^/.*/images/\K[^/]+$'
end
complete -c grootfs -n "__fish_grootfs_using_subcommand COMMANDS " -f -a "(__fish_grootfs_ids)"
"#;
