# For the scripts in this folder that count: what passed, failed and was skipped, and the last line.

passed=0 failed=0 skipped=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Counts, and says so: the verdict, the name, and a note if there is one.
outcome() {
    local verdict=$1 name=$2 note=${3-}
    echo "$verdict: $name${note:+ ($note)}"
    case $verdict in
        passed) passed=$((passed + 1)) ;;
        failed) failed=$((failed + 1)) ;;
        skipped) skipped=$((skipped + 1)) ;;
    esac
}

# Runs a command in which warnings are errors in the workspace, and in nothing that it is built from.
# A plain sh may drop variables with a dash in their names, as CARGO_BIN_EXE_spiped-demo.
deny_warnings() {
    printf '#!/usr/bin/env bash\nexec "$@" -Dwarnings\n' > "$work/deny-warnings"
    chmod +x "$work/deny-warnings"
    RUSTC_WORKSPACE_WRAPPER=$work/deny-warnings "$@"
}

# The last line of a script, and its exit status.
summarize() {
    local summary="$passed passed, $failed failed"
    [[ $skipped -eq 0 ]] || summary+=", $skipped skipped"
    echo
    echo "$summary"
    [[ $failed -eq 0 ]]
}
