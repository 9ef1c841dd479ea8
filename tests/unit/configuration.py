"""A small configuration of a switch, as an administrator may have it, to install coaching into."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ccwhisper.install import plan
from ccwhisper.install.steps import Wish

PASSWORD = "a-long-enough-password"
WISH = Wish(coaches=("2000",), password=PASSWORD)

FILES: Mapping[str, str] = {
    "freeswitch.xml": """<?xml version="1.0"?>
<document type="freeswitch/xml">
  <X-PRE-PROCESS cmd="set" data="secret=1234"/>
  <section name="configuration"><!-- all of them -->
    <X-PRE-PROCESS cmd="include" data="autoload_configs/*.xml"/>
  </section>
  <section name="dialplan">
    <X-PRE-PROCESS cmd="include" data="dialplan/*.xml"/>
  </section>
  <section name="directory">
    <X-PRE-PROCESS cmd="include" data="directory/*.xml"/>
  </section>
</document>
""",
    "autoload_configs/modules.conf.xml": """<configuration name="modules.conf">
  <modules>
    <load module="mod_event_socket"/>
    <load module="mod_sofia"/>
    <load module="mod_commands"/>
    <load module="mod_dptools"/>
    <load module="mod_dialplan_xml"/>
    <!-- <load module="mod_tone_stream"/> -->
    <load module="mod_sndfile"/>

    <!-- that is all -->
  </modules>
</configuration>
""",
    "autoload_configs/sofia.conf.xml": """<configuration name="sofia.conf">
  <profiles>
    <X-PRE-PROCESS cmd="include" data="../sip_profiles/*.xml"/>
  </profiles>
</configuration>
""",
    "autoload_configs/opus.conf.xml": """<configuration name="opus.conf">
\t<settings>
\t\t<param name="complexity" value="10"/>
\t\t<param name="maxaveragebitrate" value="0"/>
\t\t<!-- <param name="maxplaybackrate" value="0"/> -->
\t</settings>
</configuration>
""",
    "autoload_configs/event_socket.conf.xml": """<configuration name="event_socket.conf">
  <settings>
    <param name="listen-ip" value="::"/>   <!-- all -->
    <param name="listen-port" value="8021"/>
    <param name="password" value="ClueCon"/>
  </settings>
</configuration>
""".replace("   <!-- all -->", ""),
    "autoload_configs/callcenter.conf.xml": """<configuration name="callcenter.conf">
  <agents>
    <agent name="1000@example.org" type="callback" contact="[leg_timeout=10]user/1000@example.org"/>
    <agent name="3000@example.org" type="callback" contact="[leg_timeout=10]sofia/gateway/far/3000"/>
    <agent name="3001@example.org" type="callback" contact='{a=b}loopback/3001'/>
    <agent name="3002@example.org" type="callback" contact="sofia/gateway/far/3002"/>
    <agent name="3003@example.org" type="uuid-standby"/>
  </agents>
</configuration>
""",
    "dialplan/public.xml": """<include>
  <context name="public">
    <!-- ours -->
    <extension name="one"><condition field="destination_number" expression="^(10[01]\\d)$">
\t<action application="transfer" data="$1 XML default"/></condition></extension>
  </context>
</include>
""",
    "directory/default.xml": """<include>\r
  <domain name="example.org">\r
    <groups>\r
      <group name="staff">\r
        <params>\r
          <param name="vm-password" value="$${secret}"/>\r
        </params>\r
        <users>\r
          <X-PRE-PROCESS cmd="include" data="staff/*.xml"/>\r
        </users>\r
      </group>\r
      <group name="sales"><users><user id="1000" type="pointer"/></users></group>\r
    </groups>\r
  </domain>\r
</include>\r
""",
    "directory/staff/1000.xml": '<include>\n  <user id="1000"><variables/></user>\n</include>\n',
    "directory/staff/2000.xml": """<include>
  <!-- Jürgen -->
  <user id="2000">
    <variables>
      <variable name="user_context" value="default"/>
    </variables>
  </user>
</include>
""",
}  # fmt: skip


def put(place: Path) -> Path:
    """The configuration, in a folder of that path."""
    for name, text in FILES.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
    return place


def everything(conf: Path) -> dict[str, tuple[bytes, int]]:
    """Content and rights of each file."""
    files = (path for path in conf.rglob("*") if path.is_file())
    return {str(path.relative_to(conf)): (path.read_bytes(), path.stat().st_mode) for path in files}


def done(conf: Path, wish: Wish = WISH) -> plan.Plan:
    """Install, and what that was."""
    made = plan.install(conf, wish)
    plan.carry_out(made)
    return made


def change(conf: Path, file: str, old: str, new: str) -> None:
    """The administrator writes something else."""
    text = (conf / file).read_bytes().decode("latin-1")
    assert old in text
    (conf / file).write_bytes(text.replace(old, new, 1).encode("latin-1"))
