# Says what Python 2.7 makes of each text of the JSON list on standard input, as ConVirt
# evaluates one: the variables of the top level that a configuration can have.
import json, os, re, string, sys
def uname(): return ('Linux', 'localhost', '', '', 'x86_64')
os.uname = uname
def plain(v):
    if type(v) is bool or v is None or isinstance(v, (tuple, long)): raise TypeError
    if isinstance(v, (str, unicode, int, float)): return v
    if isinstance(v, list): return [plain(x) for x in v]
    if isinstance(v, dict): return dict((k, plain(x)) for k, x in v.items())
    raise TypeError
out = []
for src in json.load(sys.stdin):
    env = {}
    try:
        sys.stdout = sys.stderr
        exec 'import sys, os, os.path\n' + src.encode('utf-8') in env, env
        got = {}
        for k, v in env.items():
            if k == '__builtins__': continue
            try: got[k] = plain(v)
            except TypeError: pass
        out.append(got)
    except Exception as e:
        out.append(None)
    finally:
        sys.stdout = sys.__stdout__
json.dump(out, sys.stdout)
