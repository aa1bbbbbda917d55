# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_spiped_global_optspecs
    string join \n e/encrypt d/decrypt s/source= t/target= k/key= b/bind= config= f/fast g/require-forward-secrecy protocol= o/timeout= n/max-connections= max-connections-per-client= max-unproved= max-unproved-per-source= idle= j/no-keepalive proxy-protocol= accept-proxy= D/wait-for-dns r/resolve-interval= R/no-resolve F/foreground p/pidfile= u/user= drain= sandbox= metrics= control= syslog log-format= log-level= v/version help
end

function __fish_spiped_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_spiped_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_spiped_using_subcommand
    set -l cmd (__fish_spiped_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c spiped -n "__fish_spiped_needs_command" -s s -l source -d 'Listen here' -r -f
complete -c spiped -n "__fish_spiped_needs_command" -s t -l target -d 'Connect to here' -r -f
complete -c spiped -n "__fish_spiped_needs_command" -s k -l key -d 'The key file, or a folder of keys for -d; - is stdin' -r -F
complete -c spiped -n "__fish_spiped_needs_command" -s b -l bind -d 'Connect from this local address (port optional)' -r -f
complete -c spiped -n "__fish_spiped_needs_command" -l config -d 'Run the pipes that this file describes' -r -F
complete -c spiped -n "__fish_spiped_needs_command" -l protocol -d 'Speak only this version of the protocol: 1 or 2' -r -f -a "1\t''
2\t''"
complete -c spiped -n "__fish_spiped_needs_command" -s o -l timeout -d 'Give up connecting, or a handshake, after this long [default: 5]' -r -f
complete -c spiped -n "__fish_spiped_needs_command" -s n -l max-connections -d 'Connections at once; 0 for no limit [default: 100]' -r -f
complete -c spiped -n "__fish_spiped_needs_command" -l max-connections-per-client -d 'Connections of each client of many keys; 0 for no limit [default: 0]' -r -f
complete -c spiped -n "__fish_spiped_needs_command" -l max-unproved -d 'Connections without a proof of the key [default: 4096]' -r -f
complete -c spiped -n "__fish_spiped_needs_command" -l max-unproved-per-source -d 'Those without a proof from one address; 0 for no limit [default: 0]' -r -f
complete -c spiped -n "__fish_spiped_needs_command" -l idle -d 'Close connections without data for this long [default: never]' -r -f
complete -c spiped -n "__fish_spiped_needs_command" -l proxy-protocol -d 'Tell the target who has connected: v1 or v2' -r -f -a "v1\t''
v2\t''"
complete -c spiped -n "__fish_spiped_needs_command" -l accept-proxy -d 'Take such headers from the balancers in these networks' -r -f
complete -c spiped -n "__fish_spiped_needs_command" -s r -l resolve-interval -d 'Look names up again this often [default: 60]' -r -f
complete -c spiped -n "__fish_spiped_needs_command" -s p -l pidfile -d 'Write the process id here [default: SOURCE.pid]' -r -F
complete -c spiped -n "__fish_spiped_needs_command" -s u -l user -d 'Become USER, :GROUP or USER:GROUP, once listening' -r -f -a "(__fish_complete_users)"
complete -c spiped -n "__fish_spiped_needs_command" -l drain -d 'Reset connections still open so long after SIGTERM' -r -f
complete -c spiped -n "__fish_spiped_needs_command" -l sandbox -d 'Lock itself in: on, off or require [default: on]' -r -f -a "on\t''
off\t''
require\t''"
complete -c spiped -n "__fish_spiped_needs_command" -l metrics -d 'Serve metrics and health by HTTP here' -r -f
complete -c spiped -n "__fish_spiped_needs_command" -l control -d 'Listen here for spiped status and spiped reload' -r -F
complete -c spiped -n "__fish_spiped_needs_command" -l log-format -d 'Log plain text, json, or to the systemd journal' -r -f -a "plain\t''
json\t''
journal\t''"
complete -c spiped -n "__fish_spiped_needs_command" -l log-level -d 'Log error, warning, notice or info [default: notice]' -r -f -a "error\t''
warning\t''
notice\t''
info\t''"
complete -c spiped -n "__fish_spiped_needs_command" -s e -l encrypt -d 'Take plain connections, send them encrypted to the target'
complete -c spiped -n "__fish_spiped_needs_command" -s d -l decrypt -d 'Take encrypted connections, send them plain to the target'
complete -c spiped -n "__fish_spiped_needs_command" -s f -l fast -d 'Save time in the handshake by giving up forward secrecy'
complete -c spiped -n "__fish_spiped_needs_command" -s g -l require-forward-secrecy -d 'Refuse a peer that uses -f'
complete -c spiped -n "__fish_spiped_needs_command" -s j -l no-keepalive -d 'No TCP keep-alives (they are on by default)'
complete -c spiped -n "__fish_spiped_needs_command" -s D -l wait-for-dns -d 'Start even if names cannot be looked up yet; try each second'
complete -c spiped -n "__fish_spiped_needs_command" -s R -l no-resolve -d 'Look names up only once, at the start'
complete -c spiped -n "__fish_spiped_needs_command" -s F -l foreground -d 'Do not go into the background; write no pidfile'
complete -c spiped -n "__fish_spiped_needs_command" -l syslog -d 'Send warnings to syslog in place of standard error'
complete -c spiped -n "__fish_spiped_needs_command" -s v -l version -d 'Print the version'
complete -c spiped -n "__fish_spiped_needs_command" -l help -d 'Print this help'
complete -c spiped -n "__fish_spiped_needs_command" -f -a "keygen" -d 'Make a key file'
complete -c spiped -n "__fish_spiped_needs_command" -f -a "probe" -d 'Try whether the other end is there and holds the key'
complete -c spiped -n "__fish_spiped_needs_command" -f -a "check" -d 'Check a configuration file'
complete -c spiped -n "__fish_spiped_needs_command" -f -a "status" -d 'Show what a daemon does'
complete -c spiped -n "__fish_spiped_needs_command" -f -a "reload" -d 'Have a daemon read its file and keys again'
complete -c spiped -n "__fish_spiped_using_subcommand keygen" -l help -d 'Print this help'
complete -c spiped -n "__fish_spiped_using_subcommand probe" -s t -l target -d 'Connect to here' -r -f
complete -c spiped -n "__fish_spiped_using_subcommand probe" -s k -l key -d 'The key file, same at both ends; - is standard input' -r -F
complete -c spiped -n "__fish_spiped_using_subcommand probe" -s b -l bind -d 'Connect from this local address (port optional)' -r -f
complete -c spiped -n "__fish_spiped_using_subcommand probe" -l protocol -d 'Speak only this version of the protocol: 1 or 2' -r -f -a "1\t''
2\t''"
complete -c spiped -n "__fish_spiped_using_subcommand probe" -s o -l timeout -d 'Give up connecting, or a handshake, after this long [default: 5]' -r -f
complete -c spiped -n "__fish_spiped_using_subcommand probe" -s f -l fast -d 'Save time in the handshake by giving up forward secrecy'
complete -c spiped -n "__fish_spiped_using_subcommand probe" -s g -l require-forward-secrecy -d 'Refuse a peer that uses -f'
complete -c spiped -n "__fish_spiped_using_subcommand probe" -s j -l no-keepalive -d 'No TCP keep-alives (they are on by default)'
complete -c spiped -n "__fish_spiped_using_subcommand probe" -l help -d 'Print this help'
complete -c spiped -n "__fish_spiped_using_subcommand check" -l help -d 'Print this help'
complete -c spiped -n "__fish_spiped_using_subcommand status" -l control -d 'The daemon\'s control socket' -r -F
complete -c spiped -n "__fish_spiped_using_subcommand status" -l connections -d 'Show every connection too'
complete -c spiped -n "__fish_spiped_using_subcommand status" -l json -d 'Print everything as JSON'
complete -c spiped -n "__fish_spiped_using_subcommand status" -l help -d 'Print this help'
complete -c spiped -n "__fish_spiped_using_subcommand reload" -l control -d 'The daemon\'s control socket' -r -F
complete -c spiped -n "__fish_spiped_using_subcommand reload" -l help -d 'Print this help'
