"""What other RFCs ask of an Ethernet LCCE."""

from __future__ import annotations

from tests.conformance.requirements.model import must, must_not, should

RFC_4719 = (
    must("2.1", "a control connection comes first; its capabilities name the Ethernet types", "core/setup:sccrq",
         "core/setup:sccrp_and_scccn"),
    must("2.1", "port to port is type 5, VLAN to VLAN type 4", "conformance/capabilities:port_and_vlan_do_not_mix",
         "core/acceptance:vlan_pseudowires_are_configured_as_such"),
    must("2.2", "ICRQ has Pseudowire Type and Remote End ID", "conformance/all_sent:avps_of_each_message"),
    must("2.2", "Remote End IDs of four octets are supported",
         "core/calls:a_remote_end_id_as_digits_and_as_four_octets",
         "core/acceptance:remote_end_ids_as_text_and_as_four_octets",
         "conf/config_file:a_number_and_a_text_of_the_same_octets_are_one_remote_end_id"),
    must("2.2", "ICRQ and ICRP have Circuit Status", "conformance/all_sent:avps_of_each_message"),
    must("2.2", "later changes are told in ICCN or SLI", "core/sessions:link_changes_are_told_by_sli",
         "core/sessions:a_link_that_went_down_during_setup_is_told_afterwards"),
    must("2.3.1", "when the session is down the pseudowire is", "core/calls:a_cdn_ends_the_session",
         "core/life:an_unanswered_hello_ends_the_tunnel", "live/pair:one_end_leaves_and_comes_back"),
    must("2.3.2", "every change of the status is told by SLI", "core/sessions:link_changes_are_told_by_sli",
         "conformance/live_circuit:a_circuit_set_down_at_one_end_is_down_at_the_other"),
    must("2.3.2", "an SLI may come any time after ICRQ", "core/sessions:an_sli_before_our_icrp_finds_its_session"),
    must("2.3.3", "reserved bits are 0 when sent and ignored when received",
         "conformance/circuit_status:what_we_say_of_our_circuit",
         "conformance/circuit_status:every_bit_but_active_is_ignored"),
    must("3.1", "the whole frame without preamble and FCS is carried, tags included",
         "forwarder/live_frames:frames_of_every_size_arrive_as_they_were",
         "forwarder/live_frames:tagged_frames_keep_their_tags"),
    must("3.2", "sequencing is signalled as RFC 3931 says", "core/calls:what_we_require_is_said_in_icrq_and_icrp"),
    must("3.3", "fragmentation follows RFC 3931, section 4.1.4",
         "kernel/live_pseudowires:the_mtu_leaves_room_for_every_header",
         "forwarder/live_frames:outer_packets_are_fragmented"),
)  # fmt: skip

RFC_5641 = (
    should("2", "the N bit is ignored when received", "conformance/circuit_status:every_bit_but_active_is_ignored"),
    must_not("2", "an end in standby sends frames, and should take none", outside="this end is never in standby"),
    must("3", "all faults are told together", outside="this end tells no fault but that its circuit is down"),
    must_not("3", "A is set beside a fault bit", "conformance/circuit_status:what_we_say_of_our_circuit"),
    must("3", "A and S are independent", "conformance/circuit_status:standby_is_signalled_and_stays_up"),
)  # fmt: skip

RFC_4667 = (
    must("5.1", "a forwarder that does not exist is refused with Result Code 24",
         "core/calls:an_unknown_remote_end_id_gets_cdn_24"),
    must("4.3", "Interface MTUs that both ends tell are equal; else the call may be refused with 23",
         "core/calls:an_icrq_that_does_not_fit", "core/calls:an_icrp_that_does_not_fit",
         "core/acceptance:without_an_mtu_of_ours_any_of_the_peers_will_do"),
    should("4.3", "the M bit of its AVPs is clear", "conformance/all_sent:the_m_bit_is_as_recommended"),
)  # fmt: skip

RFC_9601 = (
    must("6.1.1", "the ECN Capability AVP is empty, may be hidden and has M clear",
         "core/attributes:octets_of_every_avp", "core/attributes:an_ecn_capability_that_is_off_is_not_sent"),
    must("4", "without it from both ends the outer ECN field is 00",
         outside="none is sent, and the sockets that carry frames leave the field 00"),
)  # fmt: skip
