complete -c spipe -s t -l target -d 'Connect to here' -r -f
complete -c spipe -s k -l key -d 'The key file, same at both ends; - is standard input' -r -F
complete -c spipe -s b -l bind -d 'Connect from this local address (port optional)' -r -f
complete -c spipe -l protocol -d 'Speak only this version of the protocol: 1 or 2' -r -f -a "1\t''
2\t''"
complete -c spipe -s o -l timeout -d 'Give up connecting, or a handshake, after this long [default: 5]' -r -f
complete -c spipe -s f -l fast -d 'Save time in the handshake by giving up forward secrecy'
complete -c spipe -s g -l require-forward-secrecy -d 'Refuse a peer that uses -f'
complete -c spipe -s j -l no-keepalive -d 'No TCP keep-alives (they are on by default)'
complete -c spipe -s v -l version -d 'Print the version'
complete -c spipe -l help -d 'Print this help'
